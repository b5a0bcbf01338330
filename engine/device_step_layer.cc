// A layer of a step on a device: rows appended, blocks chosen, attention.
#include <algorithm>

#include "base/check.h"
#include "engine/device_step.h"
#include "kernels/cuda/choice.h"
#include "kernels/cuda/fold.h"

namespace cairn {

DeviceAttendCall DeviceStep::LocalCall(int32_t layer, const DeviceRows& rows) const {
  const int64_t lists = int64_t{layer} * heads() * local_.blocks();
  return {.block = parts_.shape.block.open(),
          .q = rows.q,
          .q_row_stride = rows.stride,
          .positions = At<int32_t>(inputs_on_device_, 0),
          .rows = now_.rows,
          .groups = 1,
          .per_list = local_.blocks(),
          .blocks = At<cuda::PlacedBlock>(inputs_on_device_, now_.inputs.local) + lists,
          .counts = At<int32_t>(inputs_on_device_, now_.inputs.local_counts),
          .o = now_.per_list > 0 ? At<float>(work_, now_.work.o) : rows.o,
          .lse = At<float>(work_, now_.work.part_lse),
          .arrived = Counts()};
}

DeviceAttendCall DeviceStep::ChosenCall(const DeviceRows& rows) const {
  const int64_t queries = int64_t{now_.rows} * parts_.shape.query_heads;
  return {.block = parts_.shape.block,
          .q = rows.q,
          .q_row_stride = rows.stride,
          .positions = At<int32_t>(inputs_on_device_, 0),
          .rows = now_.rows,
          .groups = now_.groups,
          .per_list = now_.per_list,
          .blocks = At<cuda::PlacedBlock>(work_, now_.work.placed),
          .counts = At<int32_t>(work_, now_.work.counts),
          .o = At<float>(work_, now_.work.o) + queries * parts_.shape.block.head_dim,
          .lse = At<float>(work_, now_.work.part_lse) + queries,
          .arrived = Counts()};
}

Status DeviceStep::Choose(int32_t layer, const DeviceRows& rows) {
  const StepPlan& plan = now_.plan;
  if (plan.TakesAll()) return Ok();
  const SessionShape& shape = parts_.shape;
  const SampledQueries queries = {.heads = heads(),
                                  .group = shape.group(),
                                  .dim = shape.block.head_dim,
                                  .rows = now_.sampled,
                                  .q = rows.q,
                                  .q_row_stride = rows.stride,
                                  .positions = At<int32_t>(inputs_on_device_, 0),
                                  .first = now_.first_sampled,
                                  .stride = now_.sample_stride,
                                  .scale = attend_.scale()};
  if (now_.scan) {
    for (int32_t head = 0; head < heads(); head += now_.heads_at_once) {
      CAIRN_TRY(ScanSome(layer, head, std::min(now_.heads_at_once, heads() - head), queries));
    }
    return Ok();
  }
  CAIRN_TRY(cuda::SearchQueries(
      queries, attend_.rope(), plan.far_slot * shape.block.block_rows,
      shape.block.dtype != DType::kF32, At<float>(work_, now_.work.queries),
      At<int32_t>(status_, StatusWords(layer) * sizeof(int32_t)), stream_.get()));
  for (int32_t head = 0; head < heads(); head += now_.heads_at_once) {
    const int32_t count = std::min(now_.heads_at_once, heads() - head);
    for (int32_t first = 0; first < now_.groups; first += now_.groups_at_once) {
      const int32_t some = std::min(now_.groups_at_once, now_.groups - first);
      CAIRN_TRY(ChooseSome(layer, head, count, first, some, queries));
    }
  }
  return Ok();
}

ScanParams DeviceStep::ScanOf(const Now& now, const SampledQueries& queries) const {
  const SessionShape& shape = parts_.shape;
  ScanParams scan;
  scan.queries = queries;
  scan.slot_position = now.plan.far_slot * shape.block.block_rows;
  scan.bf16 = shape.block.dtype != DType::kF32;
  scan.near = now.near;
  scan.block_rows = shape.block.block_rows;
  scan.k = now.plan.choose;
  return scan;
}

// All in one launch: rows that choose together are few.
Status DeviceStep::ScanSome(int32_t layer, int32_t head, int32_t count, SampledQueries queries) {
  const int32_t dim = queries.dim;
  queries.heads = count;
  queries.q += int64_t{head} * queries.group * dim;
  const int64_t near_key = (int64_t{layer} * heads() + head) * now_.near * dim;
  const int64_t choice = int64_t{head} * now_.plan.choose;
  ScanParams scan = ScanOf(now_, queries);
  scan.near_keys = At<float>(near_, 0) + near_key;
  scan.lse = At<float>(work_, now_.work.lse);
  scan.chosen = At<int32_t>(work_, now_.work.chosen) + choice;
  scan.log_weights = At<float>(work_, now_.work.log_weights) + choice;
  scan.missing = At<int32_t>(status_, StatusWords(layer) * sizeof(int32_t));
  return parts_.index.Scan(layer * heads() + head, now_.plan.far_begin, now_.plan.far_end, scan,
                           attend_.rope(), At<float>(work_, now_.work.scores),
                           At<int32_t>(status_, StatusWords(parts_.shape.layers) * sizeof(int32_t)),
                           stream_);
}

Status DeviceStep::ChooseSome(int32_t layer, int32_t head, int32_t count, int32_t first_group,
                              int32_t groups, SampledQueries queries) {
  const StepPlan& plan = now_.plan;
  const int32_t group = queries.group, dim = queries.dim;
  const int32_t rows_each = now_.rows_per_group / group;  // of a group of rows
  const int32_t first_row = first_group * rows_each;
  const int32_t far_columns = now_.far * parts_.index.representatives();
  const int64_t columns = int64_t{far_columns} + now_.near;
  queries.rows = groups * rows_each;
  queries.first += first_row * queries.stride;
  queries.heads = count;
  queries.q += int64_t{head} * group * dim;
  const int32_t sampled = queries.rows * group;
  float* const scores = At<float>(work_, now_.work.scores);
  if (now_.far > 0) {
    const int64_t query = (int64_t{head} * now_.sampled + first_row) * group;
    CAIRN_TRY(parts_.index.Score(layer * heads() + head, count, plan.far_begin, plan.far_end,
                                 At<float>(work_, now_.work.queries) + query * dim, sampled, scores,
                                 columns, stream_));
  }
  const int64_t near_key = (int64_t{layer} * heads() + head) * now_.near * dim;
  CAIRN_TRY(cuda::NearScores(queries, attend_.rope(), now_.near, parts_.shape.block.block_rows,
                             At<float>(near_, 0) + near_key, scores + far_columns, columns,
                             stream_.get()));
  const int64_t choice = (int64_t{head} * now_.groups + first_group) * plan.choose;
  return cuda::FoldScores({.partitions = count,
                           .rows = sampled,
                           .rows_per_group = now_.rows_per_group,
                           .blocks = now_.far + now_.near,
                           .representatives = parts_.index.representatives(),
                           .k = plan.choose,
                           .scores = scores,
                           .lse = At<float>(work_, now_.work.lse),
                           .chosen = At<int32_t>(work_, now_.work.chosen) + choice,
                           .log_weights = At<float>(work_, now_.work.log_weights) + choice},
                          At<float>(work_, now_.work.weights), stream_.get());
}

Status DeviceStep::Place(int32_t layer) {
  const StepPlan& plan = now_.plan;
  const auto sinks = std::count_if(plan.fixed.begin(), plan.fixed.end(),
                                   [&](const auto& at) { return at.slot < plan.first_slot; });
  int32_t* const status = At<int32_t>(status_, StatusWords(layer) * sizeof(int32_t));
  PlaceParams params;
  params.heads = heads();
  params.groups = now_.groups;
  params.k = plan.choose;
  params.fixed = static_cast<int32_t>(plan.fixed.size());
  params.sinks = static_cast<int32_t>(sinks);
  params.block_rows = parts_.shape.block.block_rows;
  params.chosen = plan.TakesAll() ? nullptr : At<int32_t>(work_, now_.work.chosen);
  params.far_begin = static_cast<int32_t>(plan.far_begin);
  params.far_count = now_.far;
  params.near_begin = static_cast<int32_t>(plan.near_begin);
  params.near_end = static_cast<int32_t>(plan.near_end);
  params.first_slot = plan.first_slot;
  params.crowd = plan.crowd;
  params.fixed_blocks = At<int32_t>(inputs_on_device_, now_.inputs.fixed_blocks);
  params.fixed_slots = At<int32_t>(inputs_on_device_, now_.inputs.fixed_slots);
  params.table = resident_.table() + int64_t{layer} * heads() * resident_.table_stride();
  params.table_stride = resident_.table_stride();
  params.slots = resident_.slots();
  params.slot_bytes = static_cast<int64_t>(resident_.slot_bytes());
  params.counts = At<int32_t>(work_, now_.work.counts);
  params.ordinals = status + 1;
  params.missing = status;
  params.stopped = At<int32_t>(status_, 0);
  return cuda::PlaceBlocks(params, At<cuda::PlacedBlock>(work_, now_.work.placed), stream_.get());
}

Status DeviceStep::Await(int32_t layer) {
  CAIRN_TRY(chosen_.Wait());
  noted_ = layer + 1;
  if (Missing(layer) == 0) {
    NoteUses(layer);
    return Ok();
  }
  CAIRN_TRY(Fetch(layer));
  return Place(layer);
}

Status DeviceStep::Attend(int32_t layer, const DeviceRows& rows) {
  const SessionShape& shape = parts_.shape;
  CAIRN_TRY(device_.Use());
  CAIRN_TRY(cuda::AppendRows(shape.block.open(), attend_.rope(), local_.layer(layer),
                             At<int32_t>(inputs_on_device_, now_.inputs.first_row), now_.rows,
                             rows.k, rows.v, rows.stride, stream_.get()));
  float* const scratch = At<float>(work_, now_.work.scratch);
  if (now_.per_list == 0) return attend_.Launch(LocalCall(layer, rows), scratch, stream_);
  CAIRN_TRY(Choose(layer, rows));
  CAIRN_TRY(Place(layer));
  const bool waits = careful_ && layer >= noted_;
  if (waits) {
    const size_t at = StatusWords(layer) * sizeof(int32_t);
    CAIRN_TRY(stream_.CopyToHost(status_back_.data() + at, status_.data() + at,
                                 StatusWords(layer + 1) * sizeof(int32_t) - at));
    CAIRN_TRY(stream_.Record(chosen_));
  }
  CAIRN_TRY(attend_.Launch(LocalCall(layer, rows), scratch, stream_));
  if (waits) CAIRN_TRY(Await(layer));
  DeviceAttendCall chosen = ChosenCall(rows);
  DeviceAttendCall whole = chosen;
  whole.o = rows.o;
  whole.lse = At<float>(work_, now_.work.whole_lse);
  float* const local_o = At<float>(work_, now_.work.o);
  float* const local_lse = At<float>(work_, now_.work.part_lse);
  if (attend_.Joins(chosen)) {
    whole.other_o = local_o;
    whole.other_lse = local_lse;
    return attend_.Launch(whole, scratch, stream_);
  }
  CAIRN_TRY(attend_.Launch(chosen, scratch, stream_));
  return attend_.Merge(whole, local_o, local_lse, stream_);
}

}  // namespace cairn
