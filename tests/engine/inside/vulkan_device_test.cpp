// A Vulkan device from the inside: copies through staging buffers, larger than they all are together.
#include <random>

#include "engine/backend/vulkan/device.hpp"
#include "orrery/plugin.hpp"
#include "support.hpp"
#include "vulkan_loader.hpp"

namespace engine_tests {
namespace {

using namespace orrery;

class VulkanCopies : public testing::TestWithParam<bool> {
  protected:
    void SetUp() override {
        if (kThreadSanitizer) GTEST_SKIP() << "drivers are not instrumented";
        vulkan_loader::like_a_card = GetParam();
        vulkan_loader::late = GetParam() ? &late_queue : nullptr;
        try {
            const auto instance = std::make_shared<vulkan::Instance>(&host);
            if (instance->physical_devices().empty()) GTEST_SKIP() << "no Vulkan device";
            device = std::make_shared<vulkan::VulkanDevice>(instance, 0, vulkan::VulkanDevice::Options{});
        } catch (const Error& e) {
            GTEST_SKIP() << e.what();
        }
    }
    void TearDown() override {
        device.reset();
        vulkan_loader::like_a_card = false;
        vulkan_loader::late = nullptr;
        vulkan_loader::fault.on = false;
        EXPECT_EQ(vulkan_loader::live.text(), "");
    }
    static std::vector<uint32_t> some_words(uint64_t bytes) {
        std::mt19937 random(1);
        std::vector<uint32_t> out(bytes / 4);
        for (auto& w : out) w = random();
        return out;
    }
    const orr_vulkan_host host = [] {
        orr_vulkan_host h{};
        h.header = ORR_HEADER(orr_vulkan_host);
        h.get_instance_proc_addr = reinterpret_cast<void*>(&vulkan_loader::instance_address);
        return h;
    }();
    vulkan_loader::LateQueue late_queue;
    std::shared_ptr<Device> device;
};

constexpr uint64_t kAll = vulkan::Transfers::kStagingBytes * vulkan::Transfers::kStagings;

TEST_P(VulkanCopies, OfEverySizeArriveWhole) {
    const auto words = some_words(2 * kAll + 400);
    const auto block = device->allocate(words.size() * 4 + 256, DeviceUse::weights, "test");
    if (!GetParam() && !block->mapped()) GTEST_SKIP() << "the host does not see this device's memory";
    EXPECT_EQ(block->mapped() == nullptr, GetParam());
    for (const uint64_t bytes : {uint64_t{4}, vulkan::Transfers::kStagingBytes - 4, vulkan::Transfers::kStagingBytes, vulkan::Transfers::kStagingBytes + 4, kAll, kAll + 4, 2 * kAll + 400}) {
        device->fill_zero(*block, 0, block->bytes());
        uint64_t told = 0;
        device->write(*block, 128, words.data(), bytes, [&](uint64_t done) {
            EXPECT_GT(done, told);
            EXPECT_LE(done - told, vulkan::Transfers::kStagingBytes);
            told = done;
        });
        EXPECT_EQ(told, bytes);
        std::vector<uint32_t> got(block->bytes() / 4, 1);
        device->read(*block, 0, got.data(), block->bytes());
        EXPECT_EQ(std::memcmp(got.data() + 32, words.data(), bytes), 0) << bytes;
        EXPECT_TRUE(std::all_of(got.begin(), got.begin() + 32, [](uint32_t w) { return w == 0; })) << bytes;
        EXPECT_TRUE(std::all_of(got.begin() + 32 + static_cast<int64_t>(bytes / 4), got.end(), [](uint32_t w) { return w == 0; })) << bytes;
        const auto other = device->allocate(block->bytes(), DeviceUse::work, "test");
        device->copy(*block, 128, *other, 0, bytes);
        device->read(*other, 0, got.data(), bytes);
        EXPECT_EQ(std::memcmp(got.data(), words.data(), bytes), 0) << bytes;
    }
}

TEST_P(VulkanCopies, EndWhereTheyAreToldTo) {
    const auto words = some_words(2 * kAll);
    for (const int until : {1, 2, 4}) {
        {
            const auto block = device->allocate(2 * kAll, DeviceUse::weights, "test");
            int calls = 0;
            const auto write = [&] {
                device->write(*block, 0, words.data(), 2 * kAll, [&](uint64_t) {
                    if (++calls == until) throw Error(ORR_CANCELLED, "enough");
                });
            };
            EXPECT_THROW(write(), Error);
            EXPECT_EQ(calls, until);
        }  // freed: nothing may be writing to it any more
        const auto block = device->allocate(2 * kAll, DeviceUse::weights, "test");
        device->write(*block, 0, words.data(), 2 * kAll);
        std::vector<uint32_t> got(words.size());
        device->read(*block, 0, got.data(), 2 * kAll);
        EXPECT_TRUE(got == words);
    }
}

TEST_P(VulkanCopies, FromManyThreads) {
    const auto words = some_words(kAll + 4096);
    std::vector<std::thread> threads;
    std::atomic<int> good{0};
    for (int t = 0; t < 3; t++)
        threads.emplace_back([&] {
            const auto block = device->allocate(words.size() * 4, DeviceUse::weights, "test");
            std::vector<uint32_t> got(words.size());
            for (int i = 0; i < 3; i++) {
                device->write(*block, 0, words.data(), words.size() * 4);
                device->read(*block, 0, got.data(), got.size() * 4);
                good += got == words;
            }
        });
    for (auto& t : threads) t.join();
    EXPECT_EQ(good, 9);
}

// Of a card: every submission of an upload may fail.
TEST_P(VulkanCopies, ThatFailAreTold) {
    if (!GetParam()) GTEST_SKIP() << "nothing is submitted";
    const auto words = some_words(kAll + 4096);
    for (int after = 0; after < 4; after++) {
        const auto block = device->allocate(words.size() * 4, DeviceUse::weights, "test");
        vulkan_loader::fault.plan("vkQueueSubmit", VK_ERROR_OUT_OF_DEVICE_MEMORY, after);
        const auto write = [&] { device->write(*block, 0, words.data(), words.size() * 4); };
        EXPECT_THROW(write(), Error) << after;
        vulkan_loader::fault.on = false;
        std::vector<uint32_t> got(words.size());
        write();
        device->read(*block, 0, got.data(), got.size() * 4);
        EXPECT_TRUE(got == words);
    }
}

INSTANTIATE_TEST_SUITE_P(Memory, VulkanCopies, testing::Bool(), [](const testing::TestParamInfo<bool>& info) { return info.param ? "OfItsOwn" : "Shared"; });

}  // namespace
}  // namespace engine_tests
