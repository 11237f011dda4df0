// metabonk._core.play: the control loop and what it is made of. Objects and numbers only: files,
// cards and settings are metabonk/play's. Nothing here runs in the thread that ticks.
#include "bindings/play.h"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include <cstring>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "bindings/arrays.h"
#include "bindings/rooms.h"
#include "play/arena_game.h"
#include "play/decider.h"
#include "play/journal.h"
#include "play/ledger.h"
#include "play/loop.h"
#include "play/tick.h"

namespace nb = nanobind;

namespace metabonk::bindings {
namespace {

using Words = nb::ndarray<const int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using ActionRow =
    nb::ndarray<const float, nb::shape<kActionColumns>, nb::c_contig, nb::device::cpu>;
using Records = nb::ndarray<const uint8_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Bytes = nb::ndarray<const uint8_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

play::ArtifactHash HashOf(const nb::bytes& given) {
  play::ArtifactHash hash;
  if (given.size() != hash.size()) throw nb::value_error("artifact: must be 32 bytes, a SHA-256");
  std::memcpy(hash.data(), given.data(), hash.size());
  return hash;
}

Action ActionOf(const ActionRow& row) {
  Action action;
  std::memcpy(&action, row.data(), sizeof action);
  return action;
}

int64_t Nanoseconds(double seconds, const char* name) {
  if (!(seconds >= 0.0 && seconds <= 1e6)) {
    throw nb::value_error((std::string(name) + ": must be seconds, 0 or more").c_str());
  }
  return static_cast<int64_t>(seconds * 1e9);
}

nb::dict Counts(const play::Seat& seat) {
  const play::SeatCounts& counts = seat.counts();
  nb::dict found;
  const std::pair<const char*, const Count*> named[] = {
      {"ticks", &counts.ticks},
      {"decided", &counts.decided},
      {"held", &counts.held},
      {"safe", &counts.safe},
      {"faults", &counts.faults},
      {"unanswered", &counts.unanswered},
      {"refused", &counts.refused},
      {"lost", &counts.lost},
      {"directed", &counts.directed},
      {"expired", &counts.expired},
      {"ungrounded", &counts.ungrounded},
      {"released", &counts.released},
      {"begun", &counts.begun},
      {"missed", &counts.missed},
      {"untold", &counts.untold},
  };
  for (const auto& [name, counter] : named) found[name] = counter->value();
  return found;
}

nb::dict JournalState(const play::Journal& journal) {
  const play::JournalCounts counts = journal.counts();
  nb::dict found;
  found["pushed"] = counts.pushed;
  found["dropped"] = counts.dropped;
  found["written"] = counts.written;
  found["error"] = counts.error == 0 ? std::string() : std::string(std::strerror(counts.error));
  return found;
}

std::unique_ptr<play::Journal> MakeJournal(const std::string& path, const std::string& name,
                                           size_t record_bytes, size_t capacity) {
  std::unique_ptr<play::Journal> made;
  const Status status = play::Journal::Create(path, name, record_bytes, capacity, &made);
  if (status.code == Code::kUnavailable) {
    const std::string text = path + ": " + status.what;
    PyErr_SetString(PyExc_OSError, text.c_str());
    throw nb::python_error();
  }
  RaiseUnlessOk(status);
  return made;
}

bool Push(play::Journal& journal, const nb::bytes& record) {
  if (record.size() != journal.record_bytes()) {
    throw nb::value_error("record: of another size than the journal's");
  }
  return journal.Push(record.data());
}

// How many records from the first on have the checksum that they say.
size_t WholeRecords(const Records& records) {
  const size_t size = records.shape(1);
  if (size < 8) throw nb::value_error("records: must be uint8 [n, bytes], 8 bytes or more each");
  for (size_t i = 0; i < records.shape(0); ++i) {
    const uint8_t* at = records.data() + i * size;
    uint32_t crc;
    std::memcpy(&crc, at, sizeof crc);
    if (crc != play::Crc32c({at + sizeof crc, size - sizeof crc})) return i;
  }
  return records.shape(0);
}

nn::Program Read(const Words& words) {
  nn::Program program;
  int64_t instruction = -1;
  const Status status = nn::ReadProgram({words.data(), words.size()}, &program, &instruction);
  RaiseUnlessOk(status);
  return program;
}

std::unique_ptr<const nn::ProgramWeights> Pack(const nn::Program& program,
                                               const std::vector<uintptr_t>& tensors,
                                               const nn::CfcKernels& kernels) {
  std::vector<const void*> at;
  for (const uintptr_t address : tensors) at.push_back(reinterpret_cast<const void*>(address));
  std::unique_ptr<const nn::ProgramWeights> weights;
  RaiseUnlessOk(nn::ProgramWeights::Make(program, at, kernels, &weights));
  return weights;
}

void MakeCompiled(play::CompiledDecider* decider, const Words& words,
                  const std::vector<uintptr_t>& tensors, uint64_t seed, const nb::bytes& artifact) {
  nn::Program program = Read(words);
  RaiseUnlessOk(play::CompiledDecider::CheckProgram(program));
  auto weights = Pack(program, tensors, nn::ActiveCfcKernels());
  new (decider) play::CompiledDecider(std::move(program), std::move(weights), seed,
                                      HashOf(artifact), play::MonotonicClock());
}

bool Swap(play::CompiledDecider& decider, const std::vector<uintptr_t>& tensors,
          const nb::bytes& artifact) {
  const play::ArtifactHash hash = HashOf(artifact);
  auto weights = Pack(decider.program(), tensors, decider.kernels());
  const nb::gil_scoped_release release;
  return decider.Swap(std::move(weights), hash).ok();
}

// The next question, waiting for one up to `seconds`; None if none came.
nb::object Ask(play::RemoteDecider& decider, double seconds) {
  const auto asked = std::make_unique<play::RemoteDecider::Question>();
  bool found = false;
  {
    const nb::gil_scoped_release release;
    play::Clock& clock = play::MonotonicClock();
    const int64_t until = clock.Now() + static_cast<int64_t>(seconds * 1e9);
    while (!(found = decider.Ask(asked.get())) && clock.Now() < until) {
      clock.SleepUntil(clock.Now() + 100 * play::kMicrosecond);
    }
  }
  if (!found) return nb::none();
  return nb::make_tuple(nb::bytes(reinterpret_cast<const char*>(&asked->state), sizeof(GameState)),
                        asked->sequence, asked->capture, asked->begins);
}

void MakeSeat(play::Seat* seat, const Port& port, play::Decider& decider, play::Journal* ledger,
              play::Journal* seen, int agent, double patience, double stale,
              const ActionRow& safe) {
  const size_t wanted = play::SeenRecordBytes(decider.seen_bytes());
  if (seen != nullptr && (decider.seen_bytes() == 0 || seen->record_bytes() != wanted)) {
    throw nb::value_error("seen: its records are not of the decider's seen_record_bytes");
  }
  if (ledger != nullptr && ledger->record_bytes() != sizeof(play::LedgerTick)) {
    throw nb::value_error("ledger: its records are not of LEDGER_BYTES");
  }
  if (agent < 0 || agent > 255) throw nb::value_error("agent: must be 0 to 255");
  play::SeatSettings settings;
  settings.agent = static_cast<uint8_t>(agent);
  settings.patience = Nanoseconds(patience, "patience");
  settings.stale = Nanoseconds(stale, "stale");
  settings.safe = ActionOf(safe);
  settings.seen = seen;
  new (seat)
      play::Seat(play::MonotonicClock(), *port.source, decider, *port.sink, ledger, settings);
}

void MakeLoop(play::Loop* loop, double hz, double spin, int cpu, int priority, bool follow,
              double margin, uint64_t ticks, size_t remembered, bool reference) {
  play::LoopSettings settings;
  settings.pacer = PacerOf(hz, spin);
  settings.thread = {cpu, priority};
  settings.follow = follow;
  settings.margin = Nanoseconds(margin, "margin");
  settings.ticks = ticks;
  settings.remembered = remembered;
  settings.reference = reference;
  RaiseUnlessOk(play::CheckLoop(settings));
  new (loop) play::Loop(play::MonotonicClock(), settings);
}

nb::object TimesOf(play::Loop& loop, size_t seat) {
  if (loop.running()) throw nb::value_error("times: the loop runs: stop it first");
  if (seat >= loop.seats()) throw nb::index_error("no such seat");
  const std::vector<play::TickTimes> times = loop.Times(seat);
  uint8_t* data;
  nb::object array = NewArray<uint8_t>({times.size(), sizeof(play::TickTimes)}, &data);
  if (!times.empty()) std::memcpy(data, times.data(), times.size() * sizeof(play::TickTimes));
  return array;
}

nb::object ReferenceOf(const play::Loop& loop, uint64_t first, size_t count) {
  if (loop.reference() == nullptr) return nb::none();
  int64_t* late;
  nb::dict found = Described(loop.reference()->lateness());
  found["late"] = NewArray<int64_t>({count}, &late);
  for (size_t i = 0; i < count; ++i) late[i] = loop.reference()->LateAfter(first + i);
  found["missed"] = loop.reference()->missed();
  found["granted"] = Granted(loop.reference()->granted());
  return found;
}

// What a thread that asks for these is granted: asked by one of its own, which ends at once.
nb::dict Grant(int cpu, int priority) {
  const play::ThreadSettings thread = {cpu, priority};
  RaiseUnlessOk(play::CheckThread(thread));
  play::ThreadGranted granted;
  {
    const nb::gil_scoped_release release;
    std::thread([&] { granted = play::PrepareThread(thread, "mb-asks"); }).join();
  }
  return Granted(granted);
}

// How late a pacer woke, nanoseconds [ticks]; on a thread of its own, without the GIL.
nb::object Pace(double hz, double spin, size_t ticks, int cpu, int priority) {
  const play::PacerSettings settings = PacerOf(hz, spin);
  RaiseUnlessOk(play::CheckPacer(settings));
  const play::ThreadSettings thread = {cpu, priority};
  RaiseUnlessOk(play::CheckThread(thread));
  int64_t* late;
  nb::object array = NewArray<int64_t>({ticks}, &late);
  const nb::gil_scoped_release release;
  std::thread([&] {
    play::PrepareThread(thread, "mb-pacer");
    play::Pacer pacer(play::MonotonicClock(), settings);
    pacer.Start(play::MonotonicClock().Now() + settings.period);
    for (size_t i = 0; i < ticks; ++i) late[i] = pacer.Wait().late();
  }).join();
  return array;
}

nb::tuple DigestOf(const std::vector<Bytes>& arrays) {
  play::Digester digester;
  for (const Bytes& array : arrays) digester.Add(array.data(), array.size());
  const play::Digest digest = digester.Get();
  return nb::make_tuple(digest.low, digest.high);
}

void BindParts(nb::module_& module) {
  nb::class_<play::Journal>(module, "Journal",
                            "An append-only file of records, written by a thread of its own.")
      .def(nb::new_(&MakeJournal), nb::arg("path"), nb::arg("name"), nb::arg("record_bytes"),
           nb::arg("capacity"), "Raises OSError where the file exists or cannot be made.")
      .def("push", &Push, nb::arg("record"), "False if the queue is full.")
      .def("flush", &play::Journal::Flush, nb::call_guard<nb::gil_scoped_release>(),
           "Returns once everything that was pushed before is on the disk.")
      .def("counts", &JournalState, "pushed, dropped, written and the error that ended writing.");
}

void BindDeciders(nb::module_& module) {
  nb::class_<play::Decider>(module, "Decider")
      .def_prop_ro(
          "seen_record_bytes",
          [](const play::Decider& decider) {
            const size_t observed = decider.seen_bytes();
            return observed == 0 ? 0 : play::SeenRecordBytes(observed);
          },
          "Of a record of what it observed; 0 if that cannot be recorded.");
  nb::class_<play::CompiledDecider, play::Decider>(module, "Compiled",
                                                   "A compiled policy of batch 1 in the loop.")
      .def("__init__", &MakeCompiled, nb::arg("program"), nb::arg("tensors"), nb::arg("seed"),
           nb::arg("artifact"),
           "program: its words. tensors: address of each; they are copied. artifact: its SHA-256.")
      .def("swap", &Swap, nb::arg("tensors"), nb::arg("artifact"),
           "Weights of the same program from the next tick on. False while the swap before has not "
           "been taken up.")
      .def_prop_ro("swaps", &play::CompiledDecider::swaps)
      .def_prop_ro("frame", [](const play::CompiledDecider& decider) {
        return std::make_tuple(decider.frame().height, decider.frame().width);
      });
  nb::class_<play::RemoteDecider, play::Decider>(module, "Remote",
                                                 "A decider on a thread of Python.")
      .def("__init__",
           [](play::RemoteDecider* decider) {
             new (decider) play::RemoteDecider(play::MonotonicClock());
           })
      .def("ask", &Ask, nb::arg("seconds"),
           "(state, sequence, capture, begins) of the newest moment, or None after `seconds`.")
      .def(
          "answer",
          [](play::RemoteDecider& decider, const ActionRow& row, uint64_t sequence) {
            decider.Answer(ActionOf(row), sequence);
          },
          nb::arg("row").noconvert(), nb::arg("sequence"))
      .def_prop_ro("unseen", &play::RemoteDecider::unseen);
  nb::class_<play::Seat>(module, "Seat", "One agent at the controls.")
      .def("__init__", &MakeSeat, nb::arg("port"), nb::arg("decider"), nb::arg("ledger").none(),
           nb::arg("seen").none(), nb::arg("agent"), nb::arg("patience"), nb::arg("stale"),
           nb::arg("safe").noconvert(), nb::keep_alive<1, 2>(), nb::keep_alive<1, 3>(),
           nb::keep_alive<1, 4>(), nb::keep_alive<1, 5>(),
           "ledger, seen: Journals, or None. patience, stale: seconds. safe: the row that is sent "
           "when the game falls silent.")
      .def(
          "direct",
          [](play::Seat& seat, uint32_t id, int action, int kind, uint32_t target, int priority,
             int64_t until, uint32_t run) {
            play::Directive directive = DirectiveOf(id, action, kind, target, priority, until);
            directive.run = run;
            return seat.Direct(directive).ok();
          },
          nb::arg("id"), nb::arg("action"), nb::arg("kind"), nb::arg("target"), nb::arg("priority"),
          nb::arg("until"), nb::arg("run") = 0,
          "False if one of higher priority is in force, or the run that it is for is over. until: "
          "nanoseconds. run: number of that run, as a watch shows it; 0 for the present one.")
      .def("mute", &play::Seat::Mute, nb::arg("muted"),
           "Keeps the policy's choices and clicks from the game, or lets them through again.")
      .def("counts", &Counts)
      .def("latency", [](const play::Seat& seat) { return Described(seat.latency()); });
}

}  // namespace

void BindPlay(nb::module_& core) {
  nb::module_ module = core.def_submodule("play");
  BindParts(module);
  BindLiveGames(module);
  BindDirectives(module);
  BindDeciders(module);
  BindWatch(module);
  nb::class_<play::Loop>(module, "Loop", "The control thread; see csrc/play/loop.h.")
      .def("__init__", &MakeLoop, nb::arg("hz"), nb::arg("spin"), nb::arg("cpu"),
           nb::arg("priority"), nb::arg("follow"), nb::arg("margin"), nb::arg("ticks"),
           nb::arg("remembered"), nb::arg("reference"), "spin, margin: seconds.")
      .def("add", &play::Loop::Add, nb::arg("seat"), nb::keep_alive<1, 2>())
      .def("start", &play::Loop::Start)
      .def("stop", &play::Loop::Stop, nb::call_guard<nb::gil_scoped_release>())
      .def("times", &TimesOf, nb::arg("seat"),
           "uint8 [ticks, bytes of a TickTimes]; once the games are stopped, too, for all that is "
           "known of when actions were sent.")
      .def("reference", &ReferenceOf, nb::arg("first"), nb::arg("count"),
           "Lateness of the reference thread, and after each of `count` ticks, and what it was "
           "granted, as `granted` says it of the loop; None without one.")
      .def("lateness", [](const play::Loop& loop) { return Described(loop.lateness()); })
      .def("granted", [](const play::Loop& loop) { return Granted(loop.granted()); })
      .def_prop_ro("running", &play::Loop::running)
      .def_prop_ro("ticks", &play::Loop::ticks)
      .def_prop_ro("skipped", &play::Loop::skipped);
  module.attr("TICK_BYTES") = sizeof(play::TickTimes);
  module.attr("LEDGER_BYTES") = sizeof(play::LedgerTick);
  module.attr("INPUT_BYTES") = sizeof(play::InputRecord);
  module.def("pace", &Pace, nb::arg("hz"), nb::arg("spin"), nb::arg("ticks"), nb::arg("cpu"),
             nb::arg("priority"), "How late each of `ticks` wakes was, nanoseconds.");
  module.def("grant", &Grant, nb::arg("cpu"), nb::arg("priority"),
             "What a loop that asks for these will be granted, as Loop.granted says it.");
  module.def("digest", &DigestOf, nb::arg("arrays"), "128 bits of arrays of bytes: (low, high).");
  module.def("crc32c", [](const nb::bytes& bytes) {
    return play::Crc32c({static_cast<const uint8_t*>(bytes.data()), bytes.size()});
  });
  module.def("whole_records", &WholeRecords, nb::arg("records").noconvert(),
             "How many records of a journal, uint8 [n, bytes], are whole from the first on.");
  module.def("last_cpu", &play::LastCpu, "The last processor that this process may use.");
  module.def("now", [] { return play::MonotonicClock().Now(); }, "Monotonic nanoseconds.");
}

}  // namespace metabonk::bindings
