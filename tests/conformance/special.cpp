// What a case shows beyond its own values: NaN and inf, plans on two threads at once, leaks, the ways of a device's kernel.
#include <malloc.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>
#include <thread>

#include "checker.hpp"
#include "plugin_checks.hpp"

namespace orrery::conformance {
namespace {

// Bytes that malloc has given out; -1 where that cannot be told.
int64_t heap_bytes() {
#if defined(__GLIBC__) && (__GLIBC__ > 2 || __GLIBC_MINOR__ >= 33) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    const struct mallinfo2 m = mallinfo2();
    return static_cast<int64_t>(m.uordblks + m.hblkhd);
#else
    return -1;
#endif
}

}  // namespace

// NaN, inf and -inf at three places of each activation in turn: what the definition makes of them, every kernel does.
void Checker::check_special(const orr_operator& op, const Case& c, const AttrSet& attrs, const std::vector<Shape>& shapes) {
    if (std::find(c.numerics.begin(), c.numerics.end(), ORR_NUMERICS_EXACT) == c.numerics.end()) return;
    bool any = false;
    for (uint32_t n = 0; n < op.n_kernels; n++) any = any || (chosen(*op.kernels[n]) && !(op.kernels[n]->flags & ORR_KERNEL_REFERENCE));
    if (!any) return;
    for (size_t i = 0; i < c.inputs.size(); i++) {
        const Value& v = c.inputs[i];
        const uint32_t port = std::min<uint32_t>(static_cast<uint32_t>(i), op.n_inputs - 1);
        if (!v.present || v.type->block || !v.type->is_float() || !v.layout.empty() || v.elems() == 0) continue;
        if (v.constant.value_or(op.inputs[port]->flags & ORR_PORT_WEIGHT)) continue;
        std::vector<Value> inputs = c.inputs;
        const size_t width = v.type->block_bytes;
        for (const double special : {static_cast<double>(NAN), static_cast<double>(INFINITY), -static_cast<double>(INFINITY)}) {
            const auto bytes = encode(*v.type, {special});
            const size_t place = random_() % static_cast<uint64_t>(v.elems());
            std::memcpy(inputs[i].bytes.data() + place * width, bytes.data(), width);
        }
        const std::string name = case_ + ", NaN and inf in input " + std::to_string(i), kept = std::exchange(case_, name);
        at(name);
        may_fail_ = true;
        const auto want = run_reference(op, attrs, inputs, shapes);
        may_fail_ = false;
        if (want)
            for (uint32_t n = 0; n < op.n_kernels; n++) {
                const orr_kernel& k = *op.kernels[n];
                if (!chosen(k) || k.flags & ORR_KERNEL_REFERENCE) continue;
                for (const uint32_t isa : isas())
                    if (const auto got = run_once(op, k, attrs, inputs, shapes, Form::contiguous, {isa, 1, ORR_NUMERICS_EXACT, options_.device}))
                        compare_reference("special", c, shapes, *got, *want, ORR_NUMERICS_EXACT);
            }
        case_ = kept;
    }
    at(case_);
}

// Different plans may run on several threads at once: both give the bits that one alone gives.
void Checker::check_at_once(const orr_operator& op, const orr_kernel& k, const Case& c, const AttrSet& attrs, const std::vector<Shape>& shapes, const Outputs& alone, Setting s) {
    constexpr int kRuns = 4;
    s.threads = 1;
    at(setting_text(k, s) + ", two plans at once");
    struct Side {
        Binding binding;
        std::unique_ptr<Plan> plan;
        std::string failure;
        bool same = true;
    } sides[2];
    for (Side& side : sides) {
        side.binding = bind(op, c.inputs, shapes, Form::contiguous);
        side.plan = std::make_unique<Plan>(host_, pool_, k, attrs, side.binding, s);
        std::string reason;
        if (!side.plan->supports(&reason)) return;
    }
    const auto work = [&](Side& side) {
        try {
            if (side.plan->prepare() != ORR_OK) side.failure = "prepare fails";
            for (int n = 0; n < kRuns && side.failure.empty(); n++) {
                if (side.plan->run() != ORR_OK) side.failure = "run fails";
                for (size_t o = 0; o < alone.size(); o++) side.same = side.same && side.binding.outputs[o]->content() == alone[o];
            }
        } catch (const std::exception& e) {
            side.failure = e.what();
        }
    };
    std::thread other(work, std::ref(sides[1]));
    work(sides[0]);
    other.join();
    for (const Side& side : sides) {
        expect("threads", side.failure.empty(), side.failure + ", which alone it did not: " + host_.take_error());
        expect("threads", side.same, "two plans on two threads at once give other bits than one alone");
        expect("abi", side.plan->misuse().empty(), side.plan->misuse());
    }
}

// The heap after making, running and releasing a plan again and again, and after running one again and again.
void Checker::check_leak(const orr_operator& op, const orr_kernel& k, const Case& c, const AttrSet& attrs, const std::vector<Shape>& shapes, Setting s) {
    if (heap_bytes() < 0) {
        report_.notes.insert("leaks of memory that is not the host's: not checked under a sanitizer or without glibc 2.33");
        return;
    }
    s.threads = 1;
    at(setting_text(k, s) + ", made and run again and again");
    const Binding b = bind(op, c.inputs, shapes, Form::contiguous);
    // malloc keeps some of what is freed for the thread and counts it as given out: what grows for a few rounds may be that, what grows for
    // ever is a leak.
    for (const int rounds : {4, 40}) {
        std::vector<int64_t> made(static_cast<size_t>(rounds)), ran(made);
        const int64_t open = open_file_count();
        for (int64_t& bytes : made) {
            Plan plan(host_, pool_, k, attrs, b, s);
            std::string reason;
            if (!plan.supports(&reason) || plan.prepare() != ORR_OK) return;
            for (int64_t& after : ran) {
                if (plan.run() != ORR_OK) return;
                after = heap_bytes();
            }
            bytes = heap_bytes();
        }
        const int64_t opened = open_file_count() - open;
        expect("leak", opened < rounds, std::to_string(rounds) + " plans of " + std::to_string(rounds) + " runs leave " + std::to_string(opened) + " files open");
        const auto step = [&](const std::vector<int64_t>& bytes) {
            int64_t least = bytes.back();
            for (size_t n = bytes.size() - bytes.size() / 2; n < bytes.size(); n++) least = std::min(least, bytes[n] - bytes[n - 1]);
            return least;
        };
        report_.checks++;
        if (step(made) <= 0 && step(ran) <= 0) return;
        if (rounds == 4) continue;
        const bool by_run = step(ran) > 0;
        fail("leak", std::string("each ") + (by_run ? "run" : "plan") + " leaves " + std::to_string(by_run ? step(ran) : step(made)) + " bytes of the heap behind");
    }
}

// The kernel's other ways, each forced by refusing the shaders of those seen before; and dispatches that nothing keeps apart in the other order.
void Checker::check_shaders(const orr_operator& op, const orr_kernel& k, const std::vector<Value>& inputs, const AttrSet& attrs, const std::vector<Shape>& shapes, Setting s,
                            const StandIn& plain, const Outputs& one, const Compare& compare, const std::string& once) {
    constexpr size_t kMostWays = 8;
    constexpr int kCases = 4;  // in which the other ways are looked for, of those that go one way by themselves: pipelines take long to build
    std::set<std::set<std::string>> asked = {{}}, seen;
    std::vector<std::set<std::string>> todo;
    // After a run: what to refuse next, and the other order.
    const auto look = [&](const StandIn& way, const Outputs& got) {
        std::string names;
        for (const std::string& shader : way.used()) names += (names.empty() ? "" : " ") + shader;
        report_.ran.insert(op_ + " " + k.name + "/" + s.device->id() + ": shaders " + names);
        if (!seen.insert(way.used()).second) return;
        if (way.side_by_side()) {
            StandIn reversed(way.refused(), false, true);
            s.stand_in = &reversed;
            const auto turned = run_once(op, k, attrs, inputs, shapes, Form::contiguous, s);
            if (turned) expect("order", *turned == got, "dispatches that no barrier keeps apart give other bits in the other order");
        }
        if (way.refused().empty() && ways_seen_[op_ + k.name + ": " + names + once]++ >= (once.empty() ? kCases : 1)) return;
        for (const std::string& shader : way.used()) {
            todo.push_back(way.refused());
            todo.back().insert(shader);
        }
    };
    look(plain, one);
    const bool once_more = !todo.empty();
    for (size_t n = 0; n < todo.size() && asked.size() < kMostWays; n++) {
        if (!asked.insert(todo[n]).second) continue;
        StandIn way(todo[n], false, false);
        s.stand_in = &way;
        const auto got = run_once(op, k, attrs, inputs, shapes, Form::contiguous, s);
        if (!got) continue;
        at(where_ + ", without its usual shaders");
        compare("values", *got);
        look(way, *got);
    }
    if (!once_more) return;
    StandIn bare({}, true, false);
    s.stand_in = &bare;
    const auto got = run_once(op, k, attrs, inputs, shapes, Form::contiguous, s);
    if (!got || !seen.insert(bare.used()).second) return;
    at(where_ + ", a device without optional features");
    compare("values", *got);
}

}  // namespace orrery::conformance
