#include "signing/tool/passphrase.h"

#include <fcntl.h>
#include <termios.h>
#include <unistd.h>

#include "common/crypto/hash.h"
#include "common/files.h"
#include "common/status.h"

namespace shoal::signing {
namespace {

using crypto::SecretBytes;

constexpr size_t kMaxPassphrase = 1024;

absl::StatusOr<SecretBytes> Ask(int terminal, std::string_view prompt) {
  termios before;
  if (tcgetattr(terminal, &before) != 0)
    return FailedPrecondition("no_passphrase", "no terminal to ask on");
  termios silent = before;
  silent.c_lflag &= ~static_cast<tcflag_t>(ECHO);
  if (write(terminal, prompt.data(), prompt.size()) < 0 ||
      tcsetattr(terminal, TCSAFLUSH, &silent) != 0)
    return FailedPrecondition("no_passphrase", "the terminal does not answer");
  SecretBytes buffer(kMaxPassphrase);
  size_t size = 0;
  char c = 0;
  while (size < kMaxPassphrase && read(terminal, &c, 1) == 1 && c != '\n')
    buffer.data()[size++] = c;
  tcsetattr(terminal, TCSAFLUSH, &before);
  if (write(terminal, "\n", 1) < 0) size = 0;
  return SecretBytes(buffer.view().substr(0, size));
}

}  // namespace

absl::StatusOr<SecretBytes> ReadPassphrase(const std::string& file,
                                           bool confirm) {
  SecretBytes passphrase;
  if (!file.empty()) {
    SHOAL_ASSIGN_OR_RETURN(std::string text,
                           RealFileSystem().Read(file, kMaxPassphrase));
    passphrase = SecretBytes(
        std::string_view(text).substr(0, text.find_first_of("\r\n")));
    crypto::Wipe(text);
  } else {
    FileDescriptor terminal(open("/dev/tty", O_RDWR | O_CLOEXEC));
    if (!terminal.valid())
      return FailedPrecondition(
          "no_passphrase", "no terminal to ask on; use --passphrase-file FILE");
    SHOAL_ASSIGN_OR_RETURN(passphrase, Ask(terminal.get(), "Passphrase: "));
    if (confirm) {
      SHOAL_ASSIGN_OR_RETURN(const SecretBytes again,
                             Ask(terminal.get(), "Again: "));
      if (!crypto::EqualConstantTime(again.view(), passphrase.view()))
        return InvalidArgument("no_passphrase", "the two are not the same");
    }
  }
  if (passphrase.empty())
    return InvalidArgument("no_passphrase", "the passphrase is empty");
  return passphrase;
}

}  // namespace shoal::signing
