// cairn doctor: whether this machine is good for cairn, and what to change.
#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include "base/plain_text.h"
#include "index/faiss_gpu.h"
#include "tools/doctor_machine.h"
#include "tools/doctor_store.h"
#include "tools/flags.h"
#include "tools/own_commands.h"
#include "tools/print_json.h"
#include "tools/version.h"

namespace cairn {
namespace {

Findings LookAtLibraries() {
  std::string libraries;
  for (const auto& [name, version] : LinkedLibraries()) {
    libraries += fmt::format("{}{} {}", libraries.empty() ? "" : ", ", name, version);
  }
  libraries += FaissGpuKind().empty() ? "; no FAISS for GPUs" : "; FAISS for GPUs too";
  return {{Grade::kGood, "libraries", "linked", libraries, ""}};
}

class DoctorCommand final : public Command {
 public:
  CLI::App* Add(CLI::App& app) override {
    CLI::App* command =
        app.add_subcommand("doctor", "Look at machine, disk and settings, and say what to change");
    command->add_option("--store", flags_.store, "Directory of the store, now or later")
        ->type_name("DIR");
    flags_.AddModel(*command, false);
    flags_.AddOutput(*command);
    return command;
  }

  Status Run() override {
    CAIRN_TRY(flags_.Apply());
    const std::string directory = DirectoryOf(flags_.store);
    nlohmann::json disk;
    Findings findings;
    for (Findings& part : std::vector<Findings>{LookAtMachine(directory), LookAtLibraries(),
                                                LookAtLimits(), LookAtDisk(directory, disk),
                                                LookAtStore(flags_), LookAtModel(flags_)}) {
      for (Finding& finding : part) findings.push_back(std::move(finding));
    }
    size_t bad = 0;
    for (const Finding& finding : findings) bad += finding.grade == Grade::kBad ? 1 : 0;
    if (flags_.json) {
      PrintAsJson(findings, bad, disk);
    } else {
      Print(findings);
    }
    if (bad == 0) return Ok();
    return Fail(Errc::kResource, "{} of {} findings are bad; change what they say", bad,
                findings.size());
  }

 private:
  static void Print(const Findings& findings) {
    for (const Finding& finding : findings) {
      fmt::print("{:<16} {:<10} {:<14} {}\n", GradeName(finding.grade), finding.area, finding.name,
                 ForTerminal(finding.found));
      if (!finding.advice.empty()) fmt::print("{:<16} -> {}\n", "", ForTerminal(finding.advice));
    }
  }

  static void PrintAsJson(const Findings& findings, size_t bad, const nlohmann::json& disk) {
    nlohmann::json list = nlohmann::json::array();
    for (const Finding& finding : findings) {
      list.push_back({{"grade", GradeName(finding.grade)},
                      {"area", finding.area},
                      {"name", finding.name},
                      {"found", finding.found},
                      {"advice", finding.advice}});
    }
    PrintJson(nlohmann::json{
        {"usable", bad == 0}, {"findings", list}, {"disk", disk}, {"program", VersionJson()}});
  }

  Flags flags_;
};

}  // namespace

std::unique_ptr<Command> MakeDoctorCommand() { return std::make_unique<DoctorCommand>(); }

}  // namespace cairn
