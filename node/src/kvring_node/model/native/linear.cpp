// Matrix products with weights packed ahead: y = x W^T + b, with the steps that follow it in a transformer.
//
// A panel holds 2 * kLanes columns of the result; its weights lie one input after the other, so the inner loop
// reads them in one sweep while the sums stay in registers. Each element of the result is one chain of fused
// multiplications and additions in the order of the inputs, whatever else is in the batch.

#include "threads.h"
#include "vector.h"

constexpr int kPanel = 2 * kLanes;
constexpr int kTileRows = kRegisters == 32 ? 12 : kLanes == 8 ? 6 : 4;  // two sums a row, two weights, an input
constexpr int64_t kGroupTiles = 10;  // rows that are read for one panel after the other: they stay in the cache

enum Then : int32_t { kStore, kAdd, kSilu, kGelu };

struct Weights {
    const float* packed;  // [panels, inputs, kPanel]
    const float* bias;    // [panels * kPanel] or null
    int64_t num_inputs;
    int64_t num_outputs;  // columns of the result: half of the panels' for kSilu and kGelu
    int32_t then;
};

INLINE Vec activated(Vec gate, int32_t then) {
    if (then == kSilu) return gate / (1.0f + exponential(-gate));
    const Vec inner = 0.7978845608f * (gate + 0.044715f * gate * gate * gate);
    return gate - gate / (1.0f + exponential(2.0f * inner));  // tanh(y) = 1 - 2 / (1 + e^2y)
}

INLINE void store_some(float* at, Vec values, int64_t count) {
    if (count >= kLanes) return store(at, values);
    for (int64_t i = 0; i < count; i++) at[i] = values[i];
}

// What a tile's row becomes; `left`: columns of the result from here to its end.
INLINE void finish(const Weights& weights, Vec first, Vec second, float* at, int64_t left) {
    if (weights.then == kSilu || weights.then == kGelu) {
        store_some(at, activated(first, weights.then) * second, left);
    } else if (weights.then == kAdd && left >= kPanel) {
        store(at, load(at) + first);
        store(at + kLanes, load(at + kLanes) + second);
    } else if (weights.then == kAdd) {
        for (int64_t i = 0; i < left; i++) at[i] += i < kLanes ? first[i] : second[i - kLanes];
    } else {
        store_some(at, first, left);
        store_some(at + kLanes, second, left - kLanes);
    }
}

template <int Rows>
INLINE void tile(const Weights& weights, int64_t panel, const float* x, int64_t stride, float* out, int64_t left) {
    const float* packed = weights.packed + panel * kPanel * weights.num_inputs;
    Vec sums[Rows][2];
    for (int row = 0; row < Rows; row++) {
        for (int half = 0; half < 2; half++) {
            sums[row][half] = weights.bias ? load(weights.bias + panel * kPanel + half * kLanes) : Vec{};
        }
    }
    for (int64_t k = 0; k < weights.num_inputs; k++, packed += kPanel) {
        const Vec first = load(packed), second = load(packed + kLanes);
#pragma GCC unroll 16
        for (int row = 0; row < Rows; row++) {
            const Vec input = all(x[row * stride + k]);
            sums[row][0] += input * first;
            sums[row][1] += input * second;
        }
    }
    for (int row = 0; row < Rows; row++) {
        finish(weights, sums[row][0], sums[row][1], out + row * weights.num_outputs, left);
    }
}

template <int Rows = kTileRows>
static void tile_of(
    int64_t rows, const Weights& weights, int64_t panel, const float* x, int64_t stride, float* out, int64_t left
) {
    if (rows == Rows) tile<Rows>(weights, panel, x, stride, out, left);
    else if constexpr (Rows > 1) tile_of<Rows - 1>(rows, weights, panel, x, stride, out, left);
}

extern "C" int32_t kvring_panel() { return kPanel; }

// x [rows, inputs] at `stride`; out [rows, outputs], contiguous.
extern "C" void kvring_linear(const Weights* given, const float* x, int64_t stride, int64_t rows, float* out) {
    const Weights weights = *given;
    const int64_t width = weights.then == kSilu || weights.then == kGelu ? kLanes : kPanel;
    const int64_t panels = (weights.num_outputs + width - 1) / width;
    const int64_t tiles = (rows + kTileRows - 1) / kTileRows;
    const int64_t groups = (tiles + kGroupTiles - 1) / kGroupTiles;
    parallel(groups * panels, [&](int64_t task) {
        const int64_t group = task / panels, panel = task % panels;
        for (int64_t i = group * kGroupTiles; i < std::min(tiles, (group + 1) * kGroupTiles); i++) {
            const int64_t row = rows * i / tiles, last = rows * (i + 1) / tiles;
            float* at = out + row * weights.num_outputs + panel * width;
            tile_of(last - row, weights, panel, x + row * stride, stride, at, weights.num_outputs - panel * width);
        }
    });
}
