// NewFile: a file that is there whole or not at all: written beside its name, and given the name
// when all of it is on disk. Every file that a command is asked to write is written so.
//
// What stands at the name decides: through symbolic links it is written to where they lead, and
// what is no regular file (a pipe, a terminal, /dev/null, this process's own stdout) is written to
// as it is and stays there. One thread.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>

#include "base/error.h"

namespace cairn {

class NewFile {
 public:
  /// Whether Create could work, before long work is begun; an empty path is fine. kIo, kNotFound
  /// (no such directory) or kInvalidArgument (a directory, a disk) naming the path.
  static Status Check(const std::string& path);
  /// Makes FILE.new, or FILE.new2, … where others have that; `mode` is its permissions before
  /// umask. Waits for the reader of a named pipe, and says so after a second; kInterrupted if it
  /// was stopped then.
  static Result<NewFile> Create(const std::string& path, mode_t mode = 0666);
  /// What is asked, some times a second, whether to stop waiting. Of the process; without it
  /// nothing stops a wait. Set it before there are threads.
  static void StopWaitingIf(bool (*stopped)());
  /// Removes what was not finished.
  ~NewFile();
  NewFile(NewFile&& other) noexcept;
  NewFile& operator=(NewFile&&) = delete;

  Status Write(std::string_view bytes);
  /// Gives the file its name; it survives power loss on return. Nothing may be written after that.
  Status Finish();

 private:
  NewFile() = default;

  std::string path_;        // as it was named
  std::string target_;      // where links lead
  std::string unfinished_;  // empty: written to as it is
  int fd_ = -1;
};

/// Writes `text` to `path` as a NewFile.
Status WriteNewFile(const std::string& path, std::string_view text);

}  // namespace cairn
