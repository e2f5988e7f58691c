// Threads that share a loop's tasks. A thread that the system has put aside holds up nothing but the task it is
// in: whoever runs takes the rest. (OpenMP's loops end when every thread has come, which on a machine with
// other work, or under a CPU limit, is most of the time.)
#pragma once

#include <cstdint>

// Runs task(context, i) for all i below `count`, on this thread and those of the pool.
void run_tasks(int64_t count, void (*task)(const void* context, int64_t i), const void* context);

template <typename Task>
static inline void parallel(int64_t count, const Task& task) {
    run_tasks(count, [](const void* context, int64_t i) { (*static_cast<const Task*>(context))(i); }, &task);
}

constexpr int64_t kTaskSize = 1 << 14;  // numbers; less is not worth another thread

// Runs row(i) for all i below `rows`, as many rows of `size` numbers a task as make it worth while.
template <typename Row>
static inline void for_rows(int64_t rows, int64_t size, const Row& row) {
    const int64_t step = size < kTaskSize ? kTaskSize / size : 1;
    parallel((rows + step - 1) / step, [&](int64_t task) {
        for (int64_t i = task * step; i < rows && i < (task + 1) * step; i++) row(i);
    });
}
