// cairn man: manual pages of all commands, into a directory.
#include <fmt/core.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>

#include "base/new_file.h"
#include "base/tell.h"
#include "tools/man_page.h"
#include "tools/own_commands.h"

namespace cairn {
namespace {

class ManCommand final : public Command {
 public:
  CLI::App* Add(CLI::App& app) override {
    root_ = &app;
    CLI::App* command = app.add_subcommand("man", "Write manual pages of all commands");
    command->add_option("DIR", directory_, "Where to write them; it is made if need be")
        ->required();
    return command;
  }

  Status Run() override {
    if (mkdir(directory_.c_str(), 0777) != 0 && errno != EEXIST) {
      return Fail(errno == ENOENT ? Errc::kNotFound : Errc::kIo, "cannot create directory {}: {}",
                  directory_, std::strerror(errno));
    }
    const std::vector<ManPage> pages = ManPages(*root_);
    for (const ManPage& page : pages) {
      CAIRN_TRY(WriteNewFile(directory_ + "/" + page.file, page.text));
    }
    Tell("{} pages in {}\n", pages.size(), directory_);
    return Ok();
  }

 private:
  const CLI::App* root_ = nullptr;
  std::string directory_;
};

}  // namespace

std::unique_ptr<Command> MakeManCommand() { return std::make_unique<ManCommand>(); }

}  // namespace cairn
