#include "threads.h"

#include <pthread.h>
#include <sched.h>

#include <atomic>

namespace {

constexpr int kMaxThreads = 256;
constexpr int kPatience = 2000;  // looks for more work before a thread sleeps: some ten microseconds
constexpr int64_t kMaxTasks = (1 << 24) - 1;

// One loop at a time. `claims` holds its number, its tasks and how many of them are taken, in one word, so that
// a thread that comes late never takes a task of a loop that has ended: as long as a taken task is not done,
// the loop is not over and `task` and `context` are its own.
struct Pool {
    std::atomic<uint64_t> claims{0};  // number of the loop: 16 bits, tasks: 24, taken: 24
    std::atomic<int64_t> num_done{0};
    std::atomic<int> num_asleep{0};
    std::atomic<int> num_wanted{1};
    void (*task)(const void*, int64_t) = nullptr;
    const void* context = nullptr;
    int num_workers = 0;
    pthread_mutex_t in_use = PTHREAD_MUTEX_INITIALIZER;  // whose loop it is
    pthread_mutex_t sleep = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t wake = PTHREAD_COND_INITIALIZER;
};

Pool pool;

bool has_more(uint64_t claims) { return (claims & kMaxTasks) < (claims >> 24 & kMaxTasks); }

void take_part() {
    uint64_t claims = pool.claims.load();
    while (has_more(claims)) {
        if (!pool.claims.compare_exchange_weak(claims, claims + 1)) continue;
        pool.task(pool.context, int64_t(claims & kMaxTasks));
        pool.num_done.fetch_add(1);
        claims = pool.claims.load();
    }
}

void breathe() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

void wait_for_work(int number) {
    const auto idle = [number] { return !has_more(pool.claims.load()) || number >= pool.num_wanted.load(); };
    for (int i = 0; i < kPatience; i++) {
        if (!idle()) return;
        breathe();
    }
    pthread_mutex_lock(&pool.sleep);
    pool.num_asleep.fetch_add(1);
    while (idle()) pthread_cond_wait(&pool.wake, &pool.sleep);
    pool.num_asleep.fetch_sub(1);
    pthread_mutex_unlock(&pool.sleep);
}

void* work(void* number) {
    for (;;) {
        wait_for_work(int(intptr_t(number)));
        take_part();
    }
    return nullptr;
}

}  // namespace

// How many threads may compute, the caller's included; those that are missing are started.
extern "C" void kvring_use_threads(int64_t count) {
    if (count == pool.num_wanted.load()) return;
    pthread_mutex_lock(&pool.in_use);
    pool.num_wanted.store(count < kMaxThreads ? int(count) : kMaxThreads);
    while (pool.num_workers + 1 < pool.num_wanted.load()) {
        pthread_t thread;
        if (pthread_create(&thread, nullptr, work, (void*)intptr_t(pool.num_workers + 1)) != 0) break;
        pthread_detach(thread);
        pool.num_workers++;
    }
    pthread_mutex_unlock(&pool.in_use);
}

void run_tasks(int64_t count, void (*task)(const void*, int64_t), const void* context) {
    const bool is_alone = count <= 1 || count > kMaxTasks || pool.num_wanted.load() == 1;
    if (is_alone || pthread_mutex_trylock(&pool.in_use) != 0) {  // another thread's loop has the pool
        for (int64_t i = 0; i < count; i++) task(context, i);
        return;
    }
    pool.task = task;
    pool.context = context;
    pool.num_done.store(0);
    const uint64_t loop = (pool.claims.load() >> 48) + 1;
    pool.claims.store(loop << 48 | uint64_t(count) << 24);
    if (pool.num_asleep.load() > 0) {
        pthread_mutex_lock(&pool.sleep);
        pthread_cond_broadcast(&pool.wake);
        pthread_mutex_unlock(&pool.sleep);
    }
    take_part();
    for (int i = 0; pool.num_done.load() < count; i++) i < kPatience ? breathe() : void(sched_yield());
    pthread_mutex_unlock(&pool.in_use);
}
