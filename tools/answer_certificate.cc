#include "tools/answer_certificate.h"

#include <fmt/core.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/tell.h"
#include "tools/certificate_report.h"

namespace cairn {

AnswerCertificate::AnswerCertificate(const Flags& flags, Workspace& workspace,
                                     Conversation& conversation)
    : wanted_(flags.certify), workspace_(workspace) {
  log_.audit = flags.audit;
  if (wanted_) conversation.Certify(&log_);
}

void AnswerCertificate::Report(const Answer& answer, nlohmann::json* json) const {
  if (!wanted_) return;
  const Session& session = workspace_.session();
  const AnswerPlace place{answer.first_token - answer.question_tokens, answer.first_token,
                          std::vector<double>(static_cast<size_t>(answer.answer_tokens), 1.0),
                          workspace_.model().predicts_from_landmarks()};
  const CertificateReport report = MakeCertificate(log_, session.shape(), session.options(), place);
  if (json == nullptr) {
    Tell("{}", DescribeCertificate(report, answer.texts));
  } else {
    (*json)["certificate"] = CertificateJson(report, answer.texts);
  }
}

}  // namespace cairn
