// The choice among a product's forms, on made-up devices: what a device lacks, or failed in its self-test, is not taken, and nothing large is taken whose
// self-test would not run it.
#include <gtest/gtest.h>

#include <set>

#include "vulkan_linear/product.hpp"

namespace orrery::vk {
namespace {

constexpr uint64_t kBase = ORR_VULKAN_F16 | ORR_VULKAN_STORAGE_16 | ORR_VULKAN_SUBGROUPS | ORR_VULKAN_SUBGROUP_SIZE;
constexpr uint64_t kMatrices = kBase | ORR_VULKAN_COOPMAT, kFragments = kMatrices | ORR_VULKAN_COOPMAT_MMA;
constexpr uint64_t kWorkgroups = kBase | ORR_VULKAN_COOPMAT2;
constexpr uint32_t kCode[1] = {0};

const Form kAll[kForms] = {Form::gemv,      Form::gemm,    Form::narrow_16, Form::narrow_32, Form::direct_16, Form::direct_32, Form::tile_32k2,
                           Form::tile_64,   Form::tile_64k2, Form::tile_128, Form::f16_64,   Form::f16_128,   Form::f16_192,  Form::coopmat2_128};
bool is_direct(Form f) { return f >= Form::direct_16 && f <= Form::tile_128; }
bool is_large(Form f) { return f >= Form::tile_32k2; }

const ProductShaders& shaders() {
    static orr_vulkan_shader all[kForms + 3];
    static const ProductShaders made = [] {
        ProductShaders s{};
        for (uint32_t i = 0; i < kForms + 3; ++i) {
            const bool plain = i >= kForms || kAll[i] == Form::gemv || kAll[i] == Form::gemm;
            const uint64_t features = plain ? 0 : is_direct(kAll[i]) ? ORR_VULKAN_COOPMAT_MMA : kAll[i] == Form::coopmat2_128 ? ORR_VULKAN_COOPMAT2 : ORR_VULKAN_COOPMAT;
            all[i] = {ORR_HEADER(orr_vulkan_shader), "a shader", kCode, sizeof kCode, features, plain ? 0u : 32u};
            if (i < kForms) s.forms[static_cast<uint32_t>(kAll[i])] = &all[i];
        }
        s.gemv_fixed = &all[kForms], s.integers = &all[kForms + 1], s.rows = &all[kForms + 2];
        return s;
    }();
    return made;
}

std::set<const orr_vulkan_shader*> refused;  // by `refuses`

// A product of `rows` rows of x on a device of `cores` cores.
struct Product {
    orr_vulkan_device device{};
    orr_prepare prepare{};
    orr_tensor x{}, weights[3]{};
    ProductCall call;

    Product(uint64_t features, uint32_t cores, const char* type, int64_t rows, int64_t outputs, int64_t columns, uint32_t parts = 1, bool gated = false) {
        device.header = ORR_HEADER(orr_vulkan_device);
        device.name = "a device";
        device.features = features;
        device.cores = cores;
        device.shared_bytes = 48 * 1024;
        device.group_invocations = 1024;
        device.subgroup = device.subgroup_min = device.subgroup_max = 32;
        device.refuses = [](const orr_vulkan_device*, const orr_vulkan_shader* s) { return refused.count(s) ? "wrong here" : nullptr; };
        prepare.header = ORR_HEADER(orr_prepare);
        prepare.numerics = ORR_NUMERICS_DEFAULT;
        prepare.device = &device;
        x.rank = 3, x.shape[0] = rows, x.shape[1] = 1, x.shape[2] = columns;  // tokens of as many sequences
        x.layout = "";
        call.x = &x;
        call.parts = gated ? 2 : parts;
        call.gated = gated;
        for (uint32_t i = 0; i < call.parts; ++i) {
            weights[i].rank = 2, weights[i].shape[0] = outputs, weights[i].shape[1] = columns;
            weights[i].type_id = type;
            weights[i].layout = "";
            weights[i].flags = ORR_TENSOR_CONSTANT;
            call.w[i] = &weights[i];
        }
    }
    Form form() const { return product_form(&prepare, shaders(), call).form; }
    bool split() const { return product_form(&prepare, shaders(), call).split; }
};

TEST(ProductForms, FollowTheDevice) {
    for (const int64_t rows : {1, 3, 8, 9, 16, 40, 130, 512}) {
        EXPECT_LE(Product(0, 40, "q4_0", rows, 4096, 4096).form(), Form::gemm) << rows;
        const Form matrices = Product(kMatrices, 40, "q4_0", rows, 4096, 4096).form();
        EXPECT_FALSE(is_direct(matrices)) << rows;
        EXPECT_EQ(rows >= 3, matrices > Form::gemm) << rows;
        const Form fragments = Product(kFragments, 132, "q4_0", rows, 4096, 4096).form();
        EXPECT_EQ(rows >= 3, is_direct(fragments)) << rows;
        EXPECT_EQ(rows > 32, Product(kWorkgroups, 132, "q4_0", rows, 4096, 4096).form() == Form::coopmat2_128) << rows;
    }
    Product exact(kFragments, 132, "q4_0", 512, 4096, 4096);
    exact.prepare.numerics = ORR_NUMERICS_EXACT;
    EXPECT_EQ(exact.form(), Form::gemm);
    Product floats(kFragments, 132, "f32", 512, 4096, 4096);
    EXPECT_EQ(floats.form(), Form::gemm);
    floats.prepare.numerics = ORR_NUMERICS_FAST;
    EXPECT_GT(floats.form(), Form::gemm);
}

// Matrices of workgroups are for where the others are not.
TEST(ProductForms, MatricesOfWorkgroupsComeLast) {
    for (const uint64_t features : {kMatrices, kFragments})
        for (const uint32_t cores : {1u, 8u, 40u, 132u})
            for (const char* type : {"q4_0", "q4_k", "f16", "bf16"})
                for (const int64_t outputs : {64, 576, 4096, 14336})
                    for (const int64_t rows : {3, 17, 100, 128, 512, 4096})
                        for (const bool gated : {false, true})
                            EXPECT_NE(Product(features | kWorkgroups, cores, type, rows, outputs, 2048, 1, gated).form(), Form::coopmat2_128) << type << ", " << rows << " x " << outputs;
}

// Tokens of one sequence, as drafts are checked in, take the form of one token: its numbers are the same.
TEST(ProductForms, FewTokensOfASequenceTakeTheFormOfOne) {
    for (const int64_t rows : {1, 2, 3, 8}) {
        Product p(kFragments, 132, "q4_0", rows, 4096, 4096);
        p.x.shape[0] = 1, p.x.shape[1] = rows;
        EXPECT_EQ(p.form(), Form::gemv) << rows;
    }
}

TEST(ProductForms, WhatADeviceGetsWrongIsNotTaken) {
    for (const int64_t rows : {8, 16, 64, 512}) {
        const Product p(kFragments | kWorkgroups, 132, "q4_k", rows, 14336, 4096, 1, true);
        for (Form form = p.form(); form > Form::gemm; form = p.form()) {
            const auto* shader = shaders().forms[static_cast<uint32_t>(form)];
            ASSERT_TRUE(refused.insert(shader).second) << rows << ": taken though refused: " << shader->name;
        }
        EXPECT_FALSE(refused.empty()) << rows;
        EXPECT_EQ(refused.count(shaders().forms[static_cast<uint32_t>(Form::coopmat2_128)]), rows > 32) << rows;
        refused.clear();
    }
}

// What a prompt's or a batch's product takes is run by one of the self-tests of its node, whose columns are fewer.
TEST(ProductForms, LargeTilesAreTested) {
    uint32_t large = 0, split = 0;
    for (const uint64_t features : {kMatrices, kFragments, kWorkgroups})
        for (const uint32_t cores : {8u, 40u, 132u})
            for (const char* type : {"q4_0", "q4_k", "f16"})
                for (const int64_t columns : {96, 2048, 2400, 14336})
                    for (const int64_t outputs : {576, 2048, 4096, 14336, 32000})
                        for (const int64_t rows : {17, 64, 100, 257, 512, 1024})
                            for (const uint32_t parts : {0u, 1u, 3u}) {  // 0: gated
                                Product p(features, cores, type, rows, outputs, columns, parts, parts == 0);
                                const Form form = p.form();
                                if (!is_large(form)) continue;
                                ++large, split += p.split();
                                bool tested = false;
                                for (uint32_t i = 0; !tested; ++i) {
                                    const LargeTest of = large_test(&p.prepare, shaders(), p.call, i);
                                    if (of.rows == 0) break;
                                    const Product small(features, cores, type, of.rows, small_extent(outputs, of.outputs, 32), small_extent(columns, of.columns, 256), parts, parts == 0);
                                    tested = small.form() == form && small.split() == p.split();
                                }
                                EXPECT_TRUE(tested) << type << ", " << rows << " x " << outputs << " x " << columns << ", " << parts << " parts, " << cores << " cores: form " << static_cast<int>(form);
                            }
    EXPECT_GT(large, 1000u);
    EXPECT_GT(split, 100u);
}

// Tiles behind the last whole round of the cores are split between two workgroups each where those still have a core each.
TEST(ProductForms, LastTilesAreSplit) {
    EXPECT_TRUE(Product(kFragments, 132, "q4_0", 512, 4096, 14336).split());
    EXPECT_TRUE(Product(kFragments, 132, "q4_0", 512, 4096, 4096).split());
    EXPECT_TRUE(Product(kFragments, 132, "q4_0", 512, 14336, 4096, 2, true).split());   // 448 tiles: three rounds and 52
    EXPECT_FALSE(Product(kFragments, 128, "q4_0", 512, 8192, 14336).split());           // 128 tiles: one round
    EXPECT_FALSE(Product(kFragments, 132, "q4_0", 512, 6144, 4096).split());            // 96 tiles: twice as many are more than the cores
    EXPECT_FALSE(Product(kFragments, 132, "q4_0", 512, 2048, 8192).split());            // smaller tiles take less time
    for (const int64_t columns : {32, 64, 96, 1000, 2048})                               // too few to gain by it
        EXPECT_FALSE(Product(kFragments, 8, "f16", 512, 32000, columns).split() || Product(kFragments, 132, "f16", 4096, 32000, columns).split()) << columns;
    EXPECT_TRUE(Product(kFragments, 132, "f16", 4096, 32000, 2304).split());
    Product mixed(kFragments, 132, "q4_0", 512, 2048, 4096, 2);
    EXPECT_TRUE(mixed.split());
    mixed.weights[1].type_id = "q4_1";  // a dispatch of its own
    EXPECT_FALSE(mixed.split());
    EXPECT_FALSE(Product(kMatrices, 132, "q4_0", 512, 4096, 14336).split());
}

}  // namespace
}  // namespace orrery::vk
