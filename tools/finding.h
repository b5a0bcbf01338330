// Finding: one thing that `cairn doctor` looked at, what it found, and what would be better.
#pragma once

#include <string>
#include <vector>

namespace cairn {

enum class Grade {
  kGood,
  kBetter,  ///< cairn works, and would work better after a change
  kBad,     ///< cairn cannot be used so
};
const char* GradeName(Grade grade);

struct Finding {
  Grade grade = Grade::kGood;
  std::string area, name;  ///< "limits", "open files"
  std::string found;
  std::string advice;  ///< what to change; empty if good
};
using Findings = std::vector<Finding>;

}  // namespace cairn
