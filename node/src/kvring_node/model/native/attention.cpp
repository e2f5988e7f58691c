// Attention over pages in place: softmax on the fly (Milakov and Gimelshein, arXiv 1805.02867), float32.
//
// A task is some queries of one sequence, all heads that share one head of keys. It walks through the keys in
// blocks that begin at multiples of kBlock tokens, so a query's result does not depend on which others are
// computed beside it. Slots beyond a sequence's tokens are never read: they may hold anything.

#include <cstring>

#include "threads.h"
#include "vector.h"

constexpr int64_t kMaxHeadDim = 256;
constexpr int64_t kMaxRows = 64;  // of a task: queries times heads that share keys
constexpr int kRowsAtOnce = kRegisters == 32 ? 8 : 4;
constexpr int kBlock = 128;  // tokens
constexpr int64_t kManyTasks = 16;  // enough for all threads to have some
constexpr float kNothing = -__builtin_inff();

struct Step {
    const int64_t* slots;  // [tokens] where their keys and values go
    const int64_t* pages;  // page tables, one after the other
    const int64_t* tasks;  // [num_tasks, 4]: start of the page table, first row, its position, number of rows
    int64_t num_tokens;
    int64_t num_tasks;
    int64_t page_tokens;  // a power of two
    int64_t num_heads;
    int64_t num_kv_heads;
    int64_t head_dim;
    float scale;
};

struct Layer {
    float* slots;  // [2 * num_kv_heads, num_slots, head_dim], keys first
    int64_t num_slots;
    int64_t window;  // how many tokens a query sees, itself included; 0: all before it
};

struct Row {
    const float* query;
    float* out;
    int64_t position;
    float largest;  // score so far
    Vec weights;    // sums of e^(score - largest), lane by lane
};

// Rows i of `tile`, each kLanes numbers at tokens[i], become columns.
template <int Stride = 1>
INLINE void transpose(Vec* tile) {
    const IntVec lanes = lane_numbers();
    const IntVec is_upper = (lanes & Stride) != 0;
    const IntVec low = is_upper ? lanes - Stride + kLanes : lanes;
    const IntVec high = is_upper ? lanes + kLanes : lanes + Stride;
    for (int i = 0; i < kLanes; i++) {
        if (i & Stride) continue;
        const Vec first = tile[i], second = tile[i + Stride];
        tile[i] = __builtin_shuffle(first, second, low);
        tile[i + Stride] = __builtin_shuffle(first, second, high);
    }
    if constexpr (2 * Stride < kLanes) transpose<2 * Stride>(tile);
}

static void turn_keys(const float* const* tokens, int64_t head_dim, float* turned) {
    for (int64_t dim = 0; dim < head_dim; dim += kLanes) {
        Vec tile[kLanes];
        for (int i = 0; i < kLanes; i++) tile[i] = load(tokens[i] + dim);
        transpose(tile);
        for (int i = 0; i < kLanes; i++) store(turned + (dim + i) * kLanes, tile[i]);
    }
}

template <int Rows>
INLINE void score(const Row* rows, const float* turned, int64_t head_dim, float scale, float* scores) {
    Vec even[Rows], odd[Rows];  // two chains of sums hide the latency of additions where rows are few
    for (int row = 0; row < Rows; row++) even[row] = odd[row] = Vec{};
    for (int64_t dim = 0; dim < head_dim; dim += 2) {
        const Vec first = load(turned + dim * kLanes), second = load(turned + (dim + 1) * kLanes);
#pragma GCC unroll 8
        for (int row = 0; row < Rows; row++) {
            even[row] += rows[row].query[dim] * first;
            odd[row] += rows[row].query[dim + 1] * second;
        }
    }
    for (int row = 0; row < Rows; row++) store(scores + row * kBlock, (even[row] + odd[row]) * scale);
}

template <int Rows = kRowsAtOnce>
INLINE void score_all(
    const Row* rows, int64_t count, const float* turned, int64_t head_dim, float scale, float* scores
) {
    for (; count >= Rows; count -= Rows, rows += Rows, scores += Rows * kBlock) {
        score<Rows>(rows, turned, head_dim, scale, scores);
    }
    if constexpr (Rows > 1) score_all<Rows / 2>(rows, count, turned, head_dim, scale, scores);
}

// The part of a block that some row of the task sees, in tokens of the block.
struct Block {
    int64_t first;  // token of the sequence
    int begin, end;
};

// Scores of a row become weights; what it has summed before is scaled to its new largest score.
INLINE void weigh(Row& row, const Block& block, int64_t window, int64_t head_dim, float* scores) {
    const int begin = block.begin / kLanes * kLanes;
    const int64_t ahead = row.position - block.first;
    const bool is_whole = ahead + 1 >= (block.end + kLanes - 1) / kLanes * kLanes;
    if (!is_whole || (window && ahead - window >= begin)) {
        const int32_t last = int32_t(std::min<int64_t>(ahead, kBlock));
        const int32_t before = window ? int32_t(std::clamp<int64_t>(ahead - window, -1, kBlock)) : -1;
        for (int i = begin; i < block.end; i += kLanes) {
            const IntVec token = lane_numbers() + i;
            store(scores + i, (token > last) | (token <= before) ? all(kNothing) : load(scores + i));
        }
    }
    Vec tops = load(scores + begin);
    for (int i = begin + kLanes; i < block.end; i += kLanes) {
        const Vec values = load(scores + i);
        tops = values > tops ? values : tops;
    }
    const float top = std::max(row.largest, largest(tops));
    if (top > row.largest && row.largest != kNothing) {
        const Vec shrink = exponential(all(row.largest - top));
        row.weights *= shrink;
        for (int64_t dim = 0; dim < head_dim; dim += kLanes) store(row.out + dim, load(row.out + dim) * shrink);
    }
    row.largest = top;
    const float least = top == kNothing ? 0.0f : top;  // a row that sees nothing of the block, nor before it
    for (int i = begin; i < block.end; i += kLanes) {
        const Vec weights = exponential(load(scores + i) - least);
        row.weights += weights;
        store(scores + i, weights);
    }
}

template <int Rows, int Width>
INLINE void add_values(
    const Row* rows, const float* const* values, const Block& block, int64_t dim, const float* scores
) {
    Vec sums[Rows][Width];
    for (int row = 0; row < Rows; row++) {
        for (int i = 0; i < Width; i++) sums[row][i] = load(rows[row].out + dim + i * kLanes);
    }
    for (int token = block.begin; token < block.end; token++) {
        Vec value[Width];
        for (int i = 0; i < Width; i++) value[i] = load(values[token] + dim + i * kLanes);
#pragma GCC unroll 8
        for (int row = 0; row < Rows; row++) {
            for (int i = 0; i < Width; i++) sums[row][i] += scores[row * kBlock + token] * value[i];
        }
    }
    for (int row = 0; row < Rows; row++) {
        for (int i = 0; i < Width; i++) store(rows[row].out + dim + i * kLanes, sums[row][i]);
    }
}

template <int Rows = kRowsAtOnce>
INLINE void add_all(
    const Row* rows, int64_t count, const float* const* values, const Block& block, int64_t head_dim,
    const float* scores
) {
    for (; count >= Rows; count -= Rows, rows += Rows, scores += Rows * kBlock) {
        int64_t dim = 0;
        for (; dim + 2 * kLanes <= head_dim; dim += 2 * kLanes) add_values<Rows, 2>(rows, values, block, dim, scores);
        if (dim < head_dim) add_values<Rows, 1>(rows, values, block, dim, scores);
    }
    if constexpr (Rows > 1) add_all<Rows / 2>(rows, count, values, block, head_dim, scores);
}

INLINE void prefetch(const float* from, int64_t count) {
    for (int64_t i = 0; i < count; i += 16) __builtin_prefetch(from + i, 0, 2);  // into the second cache
}

struct Scratch {
    const float* keys[kBlock];
    const float* values[kBlock];
    float scores[kMaxRows * kBlock];
    float turned[kMaxHeadDim * kLanes];
};

// Where the keys and values of a block's tokens lie; what is not seen is never read, so any address will do.
static void find(
    const Step& step, const Layer& layer, const int64_t* table, int64_t kv_head, const Block& block, Scratch& scratch
) {
    const int64_t head = layer.num_slots * step.head_dim;
    const int shift = __builtin_ctzll(step.page_tokens);
    const int begin = block.begin / kLanes * kLanes, end = (block.end + kLanes - 1) / kLanes * kLanes;
    for (int i = begin; i < end; i++) {
        const int64_t token = block.first + std::clamp(i, block.begin, block.end - 1);
        const int64_t slot = (table[token >> shift] << shift) + (token & (step.page_tokens - 1));
        scratch.keys[i] = layer.slots + kv_head * head + slot * step.head_dim;
        scratch.values[i] = scratch.keys[i] + step.num_kv_heads * head;
        prefetch(scratch.keys[i] + head, step.head_dim);  // this thread's next task
        prefetch(scratch.values[i] + head, step.head_dim);
    }
}

static void attend(
    const Step& step, const Layer& layer, const int64_t* task, int64_t kv_head, const float* query, int64_t stride,
    float* out
) {
    const int64_t group = step.num_heads / step.num_kv_heads, first_row = task[1], queries = task[3];
    const int64_t begin_position = task[2], end = begin_position + queries;
    const int64_t head_dim = step.head_dim, count = queries * group;
    Row rows[kMaxRows];
    for (int64_t i = 0; i < count; i++) {
        const int64_t row = first_row + i / group, head = kv_head * group + i % group;
        float* at = out + (row * step.num_heads + head) * head_dim;
        std::memset(at, 0, head_dim * sizeof(float));
        rows[i] = Row{query + row * stride + head * head_dim, at, begin_position + i / group, kNothing, Vec{}};
    }
    const int64_t begin = layer.window ? std::max<int64_t>(0, begin_position + 1 - layer.window) : 0;
    Scratch scratch;
    Block block;
    for (block.first = begin / kBlock * kBlock; block.first < end; block.first += kBlock) {
        block.begin = int(std::max<int64_t>(begin - block.first, 0));
        block.end = int(std::min<int64_t>(end - block.first, kBlock));
        find(step, layer, step.pages + task[0], kv_head, block, scratch);
        for (int i = block.begin / kLanes * kLanes; i < block.end; i += kLanes) {
            turn_keys(scratch.keys + i, head_dim, scratch.turned);
            score_all(rows, count, scratch.turned, head_dim, step.scale, scratch.scores + i);
        }
        for (int64_t i = 0; i < count; i++) {
            weigh(rows[i], block, layer.window, head_dim, scratch.scores + i * kBlock);
        }
        add_all(rows, count, scratch.values, block, head_dim, scratch.scores);
    }
    for (int64_t i = 0; i < count; i++) {
        const float share = 1.0f / sum(rows[i].weights);
        for (int64_t dim = 0; dim < head_dim; dim += kLanes) {
            store(rows[i].out + dim, load(rows[i].out + dim) * share);
        }
    }
}

// Writes keys and values of all tokens to their slots, then attends. query [tokens, num_heads, head_dim] and
// keys_values [tokens, 2 * num_kv_heads, head_dim] have their tokens at strides; out as query, contiguous.
extern "C" void kvring_attend(
    const Step* given, const Layer* of, const float* query, int64_t query_stride, const float* keys_values,
    int64_t keys_stride, float* out
) {
    const Step step = *given;
    const Layer layer = *of;
    const int64_t head_dim = step.head_dim;
    const int64_t kv_heads = step.num_kv_heads;
    for_rows(step.num_tokens, 2 * kv_heads * head_dim, [&](int64_t token) {
        for (int64_t head = 0; head < 2 * kv_heads; head++) {
            std::memcpy(
                layer.slots + (head * layer.num_slots + step.slots[token]) * head_dim,
                keys_values + token * keys_stride + head * head_dim, head_dim * sizeof(float)
            );
        }
    });
    const int64_t heads = step.num_tasks >= kManyTasks ? kv_heads : 1;  // that a thread takes at a time
    parallel(step.num_tasks * kv_heads / heads, [&](int64_t i) {
        for (int64_t at = i * heads; at < (i + 1) * heads; at++) {
            attend(step, layer, step.tasks + at / kv_heads * 4, at % kv_heads, query, query_stride, out);
        }
    });
}
