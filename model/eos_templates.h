// Chat templates that end each answer with eos and mark turns by text: those of Llama 2 and Mistral
// ([INST] ... [/INST]), and of Zephyr and TinyLlama (<|user|> ... <|assistant|>).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "model/tokenizer.h"
#include "model/turn_frames.h"

namespace cairn {

/// The frames of a template of one of these shapes, with the spaces and line breaks that it has;
/// nothing if it is none or does anything else than frame turns, or there is no eos. `begin`: bos,
/// or nothing.
std::optional<TurnFrames> FramesOfEosTemplate(std::string_view source, const Tokenizer& tokenizer,
                                              const std::vector<uint32_t>& begin);

}  // namespace cairn
