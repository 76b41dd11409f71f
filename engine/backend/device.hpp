// What the engine asks of a device with memory of its own. One implementation for each kind of device.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "orrery/plugin.hpp"

namespace orrery {

struct Expression;

// How memory is used decides which kind of it is taken.
enum class DeviceUse {
    weights,  // written once
    state,    // written and read by kernels
    work,     // activations
    step,     // written by the host before every run, read by kernels; mapped
    result    // written by copies, read by the host; mapped
};

// The device's memory, or the engine's budget of it, is used up.
class NoDeviceMemory : public Error {
  public:
    using Error::Error;
};

class DeviceBlock {
  public:
    virtual ~DeviceBlock() = default;
    void* handle() const { return handle_; }    // for orr_tensor.buffer
    uint64_t address() const { return address_; }
    uint64_t bytes() const { return bytes_; }
    char* mapped() const { return mapped_; }    // nullptr: not visible to the host

  protected:
    void* handle_ = nullptr;
    uint64_t address_ = 0, bytes_ = 0;
    char* mapped_ = nullptr;
};

// Part of a block that a step reads or writes.
struct DeviceRange {
    const void* block;  // handle()
    uint64_t begin, end;
};

// A counting semaphore of the host's on the device, and a value of it.
struct DeviceSignal {
    void* semaphore;
    uint64_t value;
};

struct DeviceCopy {
    std::shared_ptr<DeviceBlock> src;
    uint64_t src_offset;
    std::shared_ptr<DeviceBlock> dst;
    uint64_t dst_offset, bytes;
};

// What a submission has to do with the host's own work on the device: it waits, copies, does its work, copies, and signals.
struct DeviceExchange {
    std::vector<DeviceSignal> waits, signals;
    std::vector<DeviceCopy> before, after;
    bool empty() const { return waits.empty() && signals.empty() && before.empty() && after.empty(); }
};

// Told how many bytes of a long copy are done; throws to end it.
using DeviceProgress = std::function<void(uint64_t bytes_done)>;

// How far self-tests have shown that shaders compute what they should.
enum class Trust { untested, right, wrong };

// What a step found on the device that the run cannot go on with.
struct DeviceFault {
    size_t step;  // of the recording, counted from 0
    std::string text;
};

// Work recorded once and run many times. Recorded from begin() to end(); what stands between two cuts is one part, started by one submit().
class DeviceProgram {
  public:
    virtual ~DeviceProgram() = default;
    // collect: only builds the pipelines that the dispatches need, in end().
    virtual void begin(bool collect) = 0;
    // Before each step: orders it behind earlier steps that it depends on. cost_ns: how long it may take, for splitting.
    virtual void step(const std::vector<DeviceRange>& reads, const std::vector<DeviceRange>& writes, uint64_t workspace, uint64_t cost_ns) = 0;
    virtual const void* recorder() const = 0;  // orr_run.device of the kernel that records now
    virtual void copy(const DeviceBlock& src, uint64_t src_offset, const DeviceBlock& dst, uint64_t dst_offset, uint64_t bytes) = 0;
    virtual void fill_zero(const DeviceBlock& dst, uint64_t offset, uint64_t bytes) = 0;
    // One dispatch: each element of dst (contiguous, f32) out of those of the inputs, broadcast; Device::takes_chain() has said yes.
    virtual void chain(const Expression& expression, const std::vector<const orr_tensor*>& ins, const orr_tensor& dst) = 0;
    // What follows goes to a later part; returns how many parts there are so far.
    virtual size_t cut() = 0;
    virtual void end() = 0;
    // Runs one part, with an exchange around it or nullptr, and waits for it. Throws Error(ORR_DEVICE_LOST).
    virtual void run(size_t part, const DeviceExchange* exchange) = 0;
    void run(size_t part) { run(part, nullptr); }
    // Starts one part; the run() that must follow waits for it too.
    virtual void start(size_t part) = 0;
    // Of what has been waited for: the first step's fault. All are forgotten.
    virtual std::optional<DeviceFault> take_fault() = 0;
    // A part took longer than a submission may: recording again would cut it in several.
    virtual bool wants_recording() const = 0;
    // Of what was recorded: how often all that comes waits for all that was before.
    virtual uint64_t barriers() const = 0;
    // Nanoseconds that each step took in the last run, where timed; empty otherwise.
    virtual const std::vector<uint64_t>& step_ns() const = 0;
    // Of what was collected last.
    virtual Trust trust() const = 0;
    // Tells what a self-test of it showed: `why` is what was wrong, "" when it was right. What is wrong is out of use from now on; returns whether
    // something is that was not before.
    virtual bool judge(const std::string& why, uint64_t ns) = 0;
    // The device was lost in a self-test of it.
    virtual void lost_in_test() = 0;
};

class Device {
  public:
    virtual ~Device() = default;
    virtual const std::string& id() const = 0;        // "vulkan:0"
    virtual const char* kind() const = 0;             // "vulkan", as orr_kernel.device
    virtual const void* kernel_table() const = 0;     // orr_prepare.device
    virtual bool lost() const = 0;
    // Throws NoDeviceMemory naming `what`, the bytes and what is left. beside: bytes of the budget that are not to be taken for it.
    virtual std::shared_ptr<DeviceBlock> allocate(uint64_t bytes, DeviceUse use, const char* what, uint64_t beside = 0) = 0;
    virtual void write(const DeviceBlock& dst, uint64_t offset, const void* src, uint64_t bytes, const DeviceProgress& progress = {}) = 0;
    virtual void read(const DeviceBlock& src, uint64_t offset, void* dst, uint64_t bytes) = 0;
    virtual void copy(const DeviceBlock& src, uint64_t src_offset, const DeviceBlock& dst, uint64_t dst_offset, uint64_t bytes) = 0;
    virtual void fill_zero(const DeviceBlock& dst, uint64_t offset, uint64_t bytes) = 0;
    virtual std::unique_ptr<DeviceProgram> new_program(bool timed) = 0;
    // Whether the host made the device and can name buffers and semaphores of it.
    virtual bool shared_with_host() const = 0;
    // A buffer of the host's (const orr_vulkan_buffer*), which it keeps alive. Throws Error(ORR_INVALID_ARGUMENT) that begins with `what`.
    virtual std::shared_ptr<DeviceBlock> import_buffer(const void* buffer, uint64_t bytes, bool written, const std::string& what) = 0;
    // An exchange without work of a plan's; waits for it.
    virtual void run(const DeviceExchange& exchange) = 0;
    // Throws Error(ORR_INVALID_ARGUMENT) where a signal of an exchange would not raise its semaphore.
    virtual void check_signals(const DeviceExchange& exchange) = 0;
    // After a run that failed: gives its signals from here, once its waits are reached.
    virtual void settle(const DeviceExchange& exchange) noexcept = 0;
    virtual uint64_t free_bytes() const = 0;          // that this engine may still take
    // Nanoseconds that so much work takes at best; a guess that splitting works with.
    virtual uint64_t cost_ns(uint64_t flops, uint64_t bytes) const = 0;
    virtual nlohmann::ordered_json describe() const = 0;
    // Whether kernels can be written for formulas over these inputs; else says why not.
    virtual bool takes_chain(const Expression& expression, const std::vector<const orr_tensor*>& ins, const orr_tensor& dst, std::string& reason) const = 0;
    // Held through a self-test, so that no two sessions make the same; nullptr: none are made.
    virtual std::mutex* self_testing() = 0;
    // Self-tests by their text, of which nothing needs to be asked again in this process.
    virtual bool knows_test(const std::string& test) const = 0;
    virtual void remember_test(const std::string& test) = 0;
};

}  // namespace orrery
