// Errors that a caller can cause: "[operation] rule; got value".
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace edgedl {

// What a caller did wrong. The Python binding turns it into edgedl.errors.UsageError.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Throws Error("[operation] part part ...") unless ok.
template <class... Parts>
void require(bool ok, const char* operation, const Parts&... parts) {
  if (ok) return;
  std::ostringstream text;
  text << '[' << operation << "] ";
  (text << ... << parts);
  throw Error(text.str());
}

}  // namespace edgedl
