// Attention over pages in place: softmax on the fly (Milakov and Gimelshein, arXiv 1805.02867), float32.
//
// A task is some queries of one sequence, all heads that share one head of keys. It walks through the keys in
// tiles of kLanes tokens that begin at multiples of kLanes, so a query's result does not depend on which
// others are computed beside it. Slots beyond a sequence's tokens are never read: they may hold anything.

#include <cstring>

#include "vector.h"

constexpr int64_t kMaxHeadDim = 256;
constexpr int64_t kMaxRows = 64;  // of a task: queries times heads that share keys
constexpr int kBlockRows = kRegisters == 32 ? 8 : 4;
constexpr float kNothing = -__builtin_inff();

struct Step {
    const int64_t* positions;  // [tokens] in their sequences
    const int64_t* slots;      // [tokens] where their keys and values go
    const int64_t* pages;      // page tables, one after the other
    const int64_t* tasks;      // [num_tasks, 3]: start of the page table, first row of the batch, number of rows
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
    Vec sums[Rows];
    for (int row = 0; row < Rows; row++) sums[row] = Vec{};
    for (int64_t dim = 0; dim < head_dim; dim++) {
        const Vec keys = load(turned + dim * kLanes);
#pragma GCC unroll 8
        for (int row = 0; row < Rows; row++) sums[row] += rows[row].query[dim] * keys;
    }
    for (int row = 0; row < Rows; row++) store(scores + row * kLanes, sums[row] * scale);
}

// Scores of one row and tile become weights; what was summed before is scaled to the new largest score.
INLINE void weigh(Row& row, int64_t first, int64_t window, int64_t head_dim, float* scores) {
    Vec values = load(scores);
    const int64_t ahead = row.position - first;
    IntVec hidden{};
    if (ahead < kLanes - 1) hidden = lane_numbers() > int32_t(ahead);
    if (window && ahead >= window) hidden |= lane_numbers() <= int32_t(std::min<int64_t>(ahead - window, kLanes));
    values = hidden ? all(kNothing) : values;
    const float top = largest(values);
    if (top == kNothing) return store(scores, Vec{});
    if (top > row.largest) {
        if (row.largest != kNothing) {
            const Vec shrink = exponential(all(row.largest - top));
            row.weights *= shrink;
            for (int64_t dim = 0; dim < head_dim; dim += kLanes) store(row.out + dim, load(row.out + dim) * shrink);
        }
        row.largest = top;
    }
    values = hidden ? Vec{} : exponential(values - row.largest);
    row.weights += values;
    store(scores, values);
}

template <int Rows, int Width>
INLINE void add_values(
    const Row* rows, const float* const* tokens, int first, int last, int64_t dim, const float* scores
) {
    Vec sums[Rows][Width];
    for (int row = 0; row < Rows; row++) {
        for (int i = 0; i < Width; i++) sums[row][i] = load(rows[row].out + dim + i * kLanes);
    }
    for (int token = first; token < last; token++) {
        Vec values[Width];
        for (int i = 0; i < Width; i++) values[i] = load(tokens[token] + dim + i * kLanes);
#pragma GCC unroll 8
        for (int row = 0; row < Rows; row++) {
            for (int i = 0; i < Width; i++) sums[row][i] += scores[row * kLanes + token] * values[i];
        }
    }
    for (int row = 0; row < Rows; row++) {
        for (int i = 0; i < Width; i++) store(rows[row].out + dim + i * kLanes, sums[row][i]);
    }
}

struct Tile {
    int64_t first;                // token of the sequence in lane 0
    int begin, end;               // lanes that some row of the task sees
    const float* values[kLanes];  // of each lane's token
    float keys[kMaxHeadDim * kLanes];
};

template <int Rows>
INLINE void attend_rows(Row* rows, const Tile& tile, const Step& step, int64_t window) {
    float scores[Rows * kLanes];
    score<Rows>(rows, tile.keys, step.head_dim, step.scale, scores);
    for (int row = 0; row < Rows; row++) weigh(rows[row], tile.first, window, step.head_dim, scores + row * kLanes);
    int64_t dim = 0;
    for (; dim + 2 * kLanes <= step.head_dim; dim += 2 * kLanes) {
        add_values<Rows, 2>(rows, tile.values, tile.begin, tile.end, dim, scores);
    }
    if (dim < step.head_dim) add_values<Rows, 1>(rows, tile.values, tile.begin, tile.end, dim, scores);
}

template <int Rows = kBlockRows>
INLINE void attend_all(Row* rows, int64_t count, const Tile& tile, const Step& step, int64_t window) {
    for (; count >= Rows; count -= Rows, rows += Rows) attend_rows<Rows>(rows, tile, step, window);
    if constexpr (Rows > 1) attend_all<Rows / 2>(rows, count, tile, step, window);
}

static void read_tile(
    Tile& tile, const Step& step, const Layer& layer, const int64_t* table, int64_t kv_head, int64_t begin, int64_t end
) {
    tile.begin = int(std::max<int64_t>(begin - tile.first, 0));
    tile.end = int(std::min<int64_t>(end - tile.first, kLanes));
    const float* keys[kLanes];
    const int64_t head = layer.num_slots * step.head_dim;
    const int shift = __builtin_ctzll(step.page_tokens);
    for (int lane = 0; lane < kLanes; lane++) {
        const int64_t token = tile.first + std::clamp(lane, tile.begin, tile.end - 1);
        const int64_t slot = (table[token >> shift] << shift) + (token & (step.page_tokens - 1));
        keys[lane] = layer.slots + kv_head * head + slot * step.head_dim;
        tile.values[lane] = keys[lane] + step.num_kv_heads * head;
    }
    turn_keys(keys, step.head_dim, tile.keys);
}

static void attend(
    const Step& step, const Layer& layer, const int64_t* task, int64_t kv_head, const float* query, int64_t stride,
    float* out
) {
    const int64_t group = step.num_heads / step.num_kv_heads, first_row = task[1], queries = task[2];
    const int64_t begin_position = step.positions[first_row], end = begin_position + queries;
    Row rows[kMaxRows];
    for (int64_t i = 0; i < queries * group; i++) {
        const int64_t row = first_row + i / group, head = kv_head * group + i % group;
        float* at = out + (row * step.num_heads + head) * step.head_dim;
        std::memset(at, 0, step.head_dim * sizeof(float));
        rows[i] = Row{query + row * stride + head * step.head_dim, at, step.positions[row], kNothing, Vec{}};
    }
    const int64_t begin = layer.window ? std::max<int64_t>(0, begin_position + 1 - layer.window) : 0;
    Tile tile;
    for (tile.first = begin / kLanes * kLanes; tile.first < end; tile.first += kLanes) {
        read_tile(tile, step, layer, step.pages + task[0], kv_head, begin, end);
        attend_all(rows, queries * group, tile, step, layer.window);
    }
    for (int64_t i = 0; i < queries * group; i++) {
        const float share = 1.0f / sum(rows[i].weights);
        for (int64_t dim = 0; dim < step.head_dim; dim += kLanes) {
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
#pragma omp parallel
    {
#pragma omp for schedule(static)
        for (int64_t token = 0; token < step.num_tokens; token++) {
            for (int64_t head = 0; head < 2 * step.num_kv_heads; head++) {
                std::memcpy(
                    layer.slots + (head * layer.num_slots + step.slots[token]) * head_dim,
                    keys_values + token * keys_stride + head * head_dim, head_dim * sizeof(float)
                );
            }
        }
#pragma omp for schedule(dynamic, 2)
        for (int64_t i = 0; i < step.num_tasks * step.num_kv_heads; i++) {
            const int64_t* task = step.tasks + i / step.num_kv_heads * 3;
            attend(step, layer, task, i % step.num_kv_heads, query, query_stride, out);
        }
    }
}
