// Where a link is: addresses as text, and text that is none.
#include "link/endpoint.h"

#include <unistd.h>

#include <string>

#include "check.h"
#include "link/ends.h"
#include "link/sockets.h"

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

TEST(link_where_nobody_can_listen_the_remedy_is_said) {
  const auto refused = [](const Endpoint& endpoint) {
    Fd fd;
    Endpoint bound;
    const Status status = ListenAt(endpoint, &fd, &bound);
    CHECK(status.code == Code::kUnavailable);
    CHECK_EQ(std::string(status.where), std::string("address"));
    return std::string(status.what);
  };
  const auto says = [](const std::string& text, const char* part) {
    CHECK(text.find(part) != std::string::npos);
  };
  Fd held, path;
  Endpoint tcp, local;
  CHECK(ParseEndpoint("tcp://127.0.0.1:0", "/tmp", &tcp).ok());
  CHECK(ListenAt(tcp, &held, &tcp).ok());
  says(refused(tcp), "port is taken: end who listens there, or give another");
  CHECK(ListenAt(Somewhere(), &path, &local).ok());
  says(refused(local), "path is taken: end who listens there, or give another");
  unlink(local.path.c_str());
  local.path = "/nowhere/at/all";
  says(refused(local), "give one in a folder");
  tcp = {.kind = Endpoint::Kind::kTcp, .host = "192.0.2.1", .port = 0, .path = {}};  // of no one
  says(refused(tcp), "not this machine's: give");
  tcp.host = "no name at all";
  says(refused(tcp), "not known here: give");
}

}  // namespace
}  // namespace metabonk::link
