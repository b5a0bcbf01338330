// AnswerCertificate: certifies answers for a command that was told --certify, and reports them.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "engine/certificate.h"
#include "tools/conversation.h"
#include "tools/flags.h"
#include "tools/workspace.h"

namespace cairn {

/// What it is made from must outlive it.
class AnswerCertificate {
 public:
  AnswerCertificate(const Flags& flags, Workspace& workspace, Conversation& conversation);
  AnswerCertificate(const AnswerCertificate&) = delete;
  AnswerCertificate& operator=(const AnswerCertificate&) = delete;

  /// Of the last answer: into `json` as "certificate", or onto stderr if that is null. Nothing
  /// without --certify.
  void Report(const Answer& answer, nlohmann::json* json) const;

 private:
  const bool wanted_;
  Workspace& workspace_;
  MassLog log_;
};

}  // namespace cairn
