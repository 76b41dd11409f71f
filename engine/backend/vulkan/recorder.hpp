// A plan's steps as command buffers, recorded once and submitted many times.
#pragma once
#include <string>
#include <vector>

#include "engine/backend/device.hpp"
#include "engine/backend/vulkan/chain_shader.hpp"
#include "engine/backend/vulkan/memory.hpp"
#include "engine/backend/vulkan/pace.hpp"
#include "engine/backend/vulkan/pipeline.hpp"
#include "engine/backend/vulkan/queue.hpp"
#include "engine/backend/vulkan/trust.hpp"

namespace orrery::vulkan {

// What recording and running need of a device.
struct Parts {
    const DeviceApi& api;
    VkDevice device;
    const Capability& capability;
    Pipelines& pipelines;
    Queue& queue;
    ChainShaders& chains;
    bool keep_special;  // shaders may ask for zeros' signs, inf and NaN to be kept
    ShaderTrust& trust;
    Pace& pace;
    bool shared;  // the host submits to the queue too
};

class Recorder : public DeviceProgram {
  public:
    Recorder(std::shared_ptr<Device> owner, const Parts& parts, bool timed);
    ~Recorder() override;
    Recorder(const Recorder&) = delete;
    Recorder& operator=(const Recorder&) = delete;

    void begin(bool collect) override;
    void step(const std::vector<DeviceRange>& reads, const std::vector<DeviceRange>& writes, uint64_t workspace, uint64_t cost_ns) override;
    const void* recorder() const override { return &table_.base; }
    void copy(const DeviceBlock& src, uint64_t src_offset, const DeviceBlock& dst, uint64_t dst_offset, uint64_t bytes) override;
    void fill_zero(const DeviceBlock& dst, uint64_t offset, uint64_t bytes) override;
    void chain(const Expression& expression, const std::vector<const orr_tensor*>& ins, const orr_tensor& dst) override;
    size_t cut() override;
    void end() override;
    void run(size_t part, const DeviceExchange* exchange) override;
    void start(size_t part) override;
    std::optional<DeviceFault> take_fault() override;
    bool wants_recording() const override { return cut_anew_; }
    const std::vector<uint64_t>& step_ns() const override { return step_ns_; }
    Trust trust() const override { return parts_.trust.of(wanted_); }
    bool judge(const std::string& why, uint64_t ns) override { return parts_.trust.judge(wanted_, why, ns); }
    void lost_in_test() override { parts_.trust.lose(wanted_); }
    uint64_t barriers() const override { return barriers_; }

  private:
    struct Table {
        orr_vulkan_recorder base;
        Recorder* self;
    };
    void open();
    void close();
    void barrier();
    void barrier_inside();
    void stamp();
    uint64_t zeros(uint32_t n);
    uint64_t fault(const char* text);
    orr_status dispatch(const orr_vulkan_dispatch& d);
    VkCommandBuffer copies(size_t which, const std::vector<DeviceCopy>& list);  // recorded anew; null when there are none
    void check_length(size_t part, uint64_t took_ns);
    uint64_t span_ns(size_t part) const;  // 0: not known
    std::shared_ptr<Device> owner_;  // outlives the handles below
    Parts parts_;
    Table table_;
    VkCommandPool pool_ = VK_NULL_HANDLE;
    VkCommandBuffer current_ = VK_NULL_HANDLE;
    std::vector<VkCommandBuffer> buffers_;
    VkCommandBuffer copies_[2] = {};  // before and after a part
    struct Load {
        uint64_t guess_ns = 0, steps = 0;
    };
    std::vector<Load> loads_;  // of each part
    double scale_ = 1;         // of the guesses, for this recording
    int cut_again_ = 0;
    bool cut_anew_ = false, joined_ = false;  // wanted; was once so for fewer parts
    std::vector<PipelineKey> wanted_;  // as collected last
    bool collect_ = false;
    VkPipeline bound_ = VK_NULL_HANDLE;
    std::vector<DeviceRange> read_, written_;  // since the last barrier
    std::vector<DeviceRange> step_reads_, step_writes_;
    uint64_t cost_ns_ = 0, barriers_ = 0;
    std::shared_ptr<DeviceBlock> zeros_;
    uint64_t zeros_wanted_ = 0, zeros_given_ = 0;  // bytes
    std::vector<DeviceFault> faults_;  // where faults_block_ holds one
    std::shared_ptr<DeviceBlock> faults_block_;
    size_t steps_ = 0;
    bool memory_short_ = false;  // of zeros or faults
    bool timed_;
    bool started_ = false;  // something that has not been waited for
    VkQueryPool queries_ = VK_NULL_HANDLE;
    VkQueryPool spans_ = VK_NULL_HANDLE;  // begin and end of each part, on a shared queue: what the clock here says holds the host's work too
    std::vector<uint32_t> stamps_;  // at the begin of which part each step lies
    std::vector<uint64_t> step_ns_, expected_ns_;
};

}  // namespace orrery::vulkan
