// Where a link is: addresses as text, and text that is none.
#include "link/endpoint.h"

#include <string>

#include "check.h"

namespace metabonk::link {
namespace {

TEST(link_endpoints_are_written_and_read) {
  Endpoint endpoint;
  CHECK(ParseEndpoint("tcp://127.0.0.1:5560", "/tmp", &endpoint).ok());
  CHECK(endpoint.port == 5560 && endpoint.local());
  CHECK_EQ(EndpointText(endpoint), std::string("tcp://127.0.0.1:5560"));
  CHECK(ParseEndpoint("tcp://[::1]:80", "/tmp", &endpoint).ok());
  CHECK(endpoint.host == "::1" && EndpointText(endpoint) == "tcp://[::1]:80");
  CHECK(ParseEndpoint("pipe://BonkLink", "/tmp/", &endpoint).ok());
  CHECK_EQ(endpoint.path, std::string("/tmp/CoreFxPipe_BonkLink"));
  CHECK(ParseEndpoint("unix:///run/x", "/tmp", &endpoint).ok() && endpoint.path == "/run/x");
  for (const char* wrong :
       {"", "5555", "tcp://", "tcp://h", "tcp://h:", "tcp://h:65536", "tcp://:1", "tcp://h:1x",
        "unix://", "pipe://", "pipe://a/b", "http://h:1"}) {
    CHECK(!ParseEndpoint(wrong, "/tmp", &endpoint).ok());
  }
  CHECK(!ParseEndpoint("unix://" + std::string(200, 'x'), "/tmp", &endpoint).ok());
}

}  // namespace
}  // namespace metabonk::link
