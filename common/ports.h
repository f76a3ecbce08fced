// Ports that a program chooses for itself and means to have again.
#ifndef SHOAL_COMMON_PORTS_H_
#define SHOAL_COMMON_PORTS_H_

namespace shoal {

// Below those that Linux gives to outgoing connections (from 32768 on by
// default): one of those may be somebody else's when the program starts again.
inline constexpr int kFirstOwnPort = 10240;
inline constexpr int kOwnPorts = 32768 - kFirstOwnPort;

}  // namespace shoal

#endif  // SHOAL_COMMON_PORTS_H_
