// Linked into every program and test of a sanitizer build, so that a child
// with an environment of its own runs under the same options as its parent.
// The variables ASAN_OPTIONS, UBSAN_OPTIONS and TSAN_OPTIONS still prevail.

extern "C" {

#ifdef __SANITIZE_THREAD__
// Debian's gRPC, OpenDHT and libtorrent are not instrumented: what their own
// code does to memory is not judged. The first report ends the program.
const char* __tsan_default_options() {
  return "ignore_noninstrumented_modules=1:halt_on_error=1:"
         "second_deadlock_stack=1:"
         "suppressions=" SHOAL_SUPPORT_DIR "/tsan.supp";
}
#endif

#ifdef __SANITIZE_ADDRESS__
const char* __asan_default_options() {
  return "detect_leaks=1:strict_string_checks=1:check_initialization_order=1:"
         "detect_invalid_pointer_pairs=0";
}

const char* __lsan_default_options() {
  return "print_suppressions=0:suppressions=" SHOAL_SUPPORT_DIR "/lsan.supp";
}

const char* __ubsan_default_options() { return "print_stacktrace=1"; }
#endif

}  // extern "C"
