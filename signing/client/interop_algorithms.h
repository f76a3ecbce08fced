// What other people's TUF repositories are signed with, beside ed25519: ECDSA
// P-256 and RSA-PSS, keys in PEM, as the specification names them.
#ifndef SHOAL_SIGNING_CLIENT_INTEROP_ALGORITHMS_H_
#define SHOAL_SIGNING_CLIENT_INTEROP_ALGORITHMS_H_

#include "signing/verify/algorithms.h"

namespace shoal::signing {

// keytype "ed25519"; "ecdsa" or "ecdsa-sha2-nistp256" with the scheme
// "ecdsa-sha2-nistp256"; "rsa" with "rsassa-pss-sha256". Lives as long as the
// program.
const KeyAlgorithms& InteropAlgorithms();

}  // namespace shoal::signing

#endif  // SHOAL_SIGNING_CLIENT_INTEROP_ALGORITHMS_H_
