// Vectors as wide as the machine's registers, in GCC's notation: one source for AVX-512, AVX2, SSE2 and NEON.
#pragma once

#include <algorithm>
#include <cstdint>

#if defined(__AVX512F__)
constexpr int kLanes = 16;
constexpr int kRegisters = 32;
#elif defined(__AVX2__)
constexpr int kLanes = 8;
constexpr int kRegisters = 16;
#elif defined(__aarch64__)
constexpr int kLanes = 4;
constexpr int kRegisters = 32;
#else
constexpr int kLanes = 4;
constexpr int kRegisters = 16;
#endif

typedef float Vec __attribute__((vector_size(4 * kLanes)));
typedef int32_t IntVec __attribute__((vector_size(4 * kLanes)));
typedef float LooseVec __attribute__((vector_size(4 * kLanes), aligned(4), may_alias));

#define INLINE static inline __attribute__((always_inline))

INLINE Vec load(const float* at) { return *(const LooseVec*)at; }

INLINE void store(float* at, Vec values) { *(LooseVec*)at = values; }

INLINE Vec all(float value) { return value - Vec{}; }

// 0, 1, 2, ...
INLINE IntVec lane_numbers() {
    IntVec lanes{};
    for (int i = 0; i < kLanes; i++) lanes[i] = i;
    return lanes;
}

// The value of lane i ^ Stride in lane i.
template <int Stride>
INLINE Vec swapped(Vec values) {
    return __builtin_shuffle(values, lane_numbers() ^ Stride);
}

template <int Stride = kLanes / 2>
INLINE float largest(Vec values) {
    const Vec other = swapped<Stride>(values);
    values = values > other ? values : other;
    if constexpr (Stride == 1) return values[0];
    else return largest<Stride / 2>(values);
}

template <int Stride = kLanes / 2>
INLINE float sum(Vec values) {
    values += swapped<Stride>(values);
    if constexpr (Stride == 1) return values[0];
    else return sum<Stride / 2>(values);
}

// e^x to 2 units in the last place, 0 below -87: x = n ln 2 + r, a polynomial for e^r (Cephes).
INLINE Vec exponential(Vec x) {
    const Vec lowest = all(-87.0f), highest = all(88.0f), magic = all(12582912.0f);  // 1.5 * 2^23 rounds
    const IntVec is_tiny = x < lowest;
    x = x > highest ? highest : x;
    const Vec shifted = x * 1.44269504f + magic;
    const Vec n = shifted - magic;
    const Vec r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
    Vec p = r * 1.9875691500e-4f + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    const Vec power = (Vec)((IntVec)p + (((IntVec)shifted - (IntVec)magic) << 23));
    return is_tiny ? Vec{} : power;
}
