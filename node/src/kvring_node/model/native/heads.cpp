// Small steps between the products: root mean square norms and the rotation of heads.

#include <cmath>

#include "threads.h"
#include "vector.h"


INLINE float scale_of(const float* x, int64_t count, float eps) {
    float squares = 0;
#pragma omp simd reduction(+ : squares)
    for (int64_t i = 0; i < count; i++) squares += x[i] * x[i];
    return 1.0f / std::sqrt(squares / count + eps);
}

// x, out [rows, columns], contiguous.
extern "C" void kvring_norm(
    const float* x, const float* weight, float eps, int64_t rows, int64_t columns, float* out
) {
    for_rows(rows, columns, [&](int64_t row) {
        const float* from = x + row * columns;
        float* to = out + row * columns;
        const float scale = scale_of(from, columns, eps);
#pragma omp simd
        for (int64_t i = 0; i < columns; i++) to[i] = from[i] * scale * weight[i];
    });
}

struct Rotation {
    const float* norm;   // [num_heads, head_dim], or null: heads are not normalised
    const float* table;  // [positions, 2, width]: cosines, signed sines
    int64_t num_heads;
    int64_t head_dim;
    int64_t width;  // of a head's first part that rotates
    float eps;
};

INLINE void rotate_head(const Rotation& rotation, const float* norm, const float* turn, float* head) {
    if (norm) {
        const float scale = scale_of(head, rotation.head_dim, rotation.eps);
#pragma omp simd
        for (int64_t i = 0; i < rotation.head_dim; i++) head[i] = head[i] * scale * norm[i];
    }
    const int64_t half = rotation.width / 2;
    const float *cos = turn, *sin = turn + rotation.width;
#pragma omp simd
    for (int64_t i = 0; i < half; i++) {
        const float first = head[i], second = head[i + half];
        head[i] = first * cos[i] + second * sin[i];
        head[i + half] = second * cos[i + half] + first * sin[i + half];
    }
}

// heads [tokens, num_heads, head_dim] in place, tokens at `stride`.
extern "C" void kvring_rotate(
    const Rotation* given, const int64_t* positions, float* heads, int64_t stride, int64_t tokens
) {
    const Rotation rotation = *given;
    const int64_t dim = rotation.head_dim;
    for_rows(tokens, rotation.num_heads * dim, [&](int64_t token) {
        const float* turn = rotation.table + positions[token] * 2 * rotation.width;
        for (int64_t head = 0; head < rotation.num_heads; head++) {
            const float* norm = rotation.norm ? rotation.norm + head * dim : nullptr;
            rotate_head(rotation, norm, turn, heads + token * stride + head * dim);
        }
    });
}
