// SingleOpenMp: while it lives, OpenMP regions of this thread have one thread: this one. Libraries
// that bring OpenMP stay on its core then. How many the thread had before is the host program's
// business, and is so again afterwards.
#pragma once

#include <omp.h>

namespace cairn {

class SingleOpenMp {
 public:
  SingleOpenMp() : before_(omp_get_max_threads()) { omp_set_num_threads(1); }
  ~SingleOpenMp() { omp_set_num_threads(before_); }
  SingleOpenMp(const SingleOpenMp&) = delete;
  SingleOpenMp& operator=(const SingleOpenMp&) = delete;

 private:
  const int before_;
};

}  // namespace cairn
