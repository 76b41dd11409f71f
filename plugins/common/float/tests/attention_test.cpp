#include "float/attention.hpp"

#include "float/attention_kernels.hpp"
#include "float/tests/support.hpp"

namespace orrery::flt {
namespace {

struct Config {
    int64_t batch = 1, tokens = 1, keys = 1, heads = 1, kv_heads = 1, width = 1, value_width = 1;
    int64_t back = -1, ahead = -1;
    float softcap = 0;
    bool bias = false, mask = false;
    const char* name = "";
};

// Keys and values as pages; tokens before `first` live in null pages where a page holds nothing else.
struct Cache {
    KvType type;
    int64_t heads, width, page_tokens;
    std::vector<std::vector<std::vector<unsigned char>>> pages;  // [batch][page]
    std::vector<std::vector<void*>> pointers;
    std::vector<PagedView> views;

    Cache(Isa isa, KvType type, const std::vector<float>& x, int64_t batch, int64_t keys, int64_t heads, int64_t width, int64_t page_tokens, int64_t first)
        : type(type), heads(heads), width(width), page_tokens(page_tokens), pages(static_cast<size_t>(batch)), pointers(static_cast<size_t>(batch)) {
        const size_t bytes = kv_row_bytes(type, width) * static_cast<size_t>(heads * page_tokens);
        for (int64_t b = 0; b < batch; ++b) {
            auto& own = pages[static_cast<size_t>(b)];
            auto& list = pointers[static_cast<size_t>(b)];
            own.resize(static_cast<size_t>(ceil_div(keys, page_tokens)));
            for (size_t p = 0; p < own.size(); ++p) {
                const bool dropped = (static_cast<int64_t>(p) + 1) * page_tokens <= first;
                if (!dropped) own[p].assign(bytes, 0xff);  // NaN in every type: whatever is read must have been written
                list.push_back(dropped ? nullptr : own[p].data());
            }
        }
        for (auto& list : pointers) views.push_back({list.data(), keys, first, static_cast<int32_t>(page_tokens)});
        cache_append(isa, {batch, keys, heads, width, x.data(), keys * heads * width, heads * width, width, views.data(), type}, pool(2).parallel());
    }
    // What the type kept of token (b, s, h).
    std::vector<float> row(int64_t b, int64_t s, int64_t h) const {
        std::vector<float> y(static_cast<size_t>(width));
        const auto& page = pages[static_cast<size_t>(b)][static_cast<size_t>(s / page_tokens)];
        if (page.empty()) return y;
        attention_kernels(isas()[0]).load(type, page.data() + kv_row_bytes(type, width) * static_cast<size_t>(h * page_tokens + s % page_tokens), y.data(), width);
        return y;
    }
};

class Case {
  public:
    explicit Case(const Config& c)
        : c_(c), q_(fill(c.batch * c.tokens * c.heads * c.width, 21, -2, 2)), k_(fill(c.batch * c.keys * c.kv_heads * c.width, 22, -2, 2)),
          v_(fill(c.batch * c.keys * c.kv_heads * c.value_width, 23)), bias_(fill(c.heads * c.tokens * c.keys, 24, -2, 2)), mask_(static_cast<size_t>(c.batch * c.keys), 1) {
        const std::vector<float> coin = fill(c.batch * c.keys, 25);
        if (c.mask)
            for (size_t i = 0; i < mask_.size(); ++i) mask_[i] = coin[i] > -0.4f;
        scale_ = 1.0f / std::sqrt(static_cast<float>(c.width));
    }

    std::vector<double> reference(const Cache* keys = nullptr, const Cache* values = nullptr, int64_t first = 0) const {
        std::vector<double> out;
        for (int64_t b = 0; b < c_.batch; ++b)
            for (int64_t t = 0; t < c_.tokens; ++t)
                for (int64_t h = 0; h < c_.heads; ++h) reference_row(b, t, h, keys, values, first, out);
        return out;
    }

    std::vector<float> run(Isa isa, int threads, const Cache* keys = nullptr, const Cache* values = nullptr) const { return run_rows(isa, threads, 0, c_.tokens, keys, values); }

    // Queries [t0, t1) alone, standing where they stood.
    std::vector<float> run_rows(Isa isa, int threads, int64_t t0, int64_t t1, const Cache* keys = nullptr, const Cache* values = nullptr) const {
        const int64_t n = t1 - t0, token = c_.heads * c_.width, out_token = c_.heads * c_.value_width, length = c_.keys - (c_.tokens - t1);
        AttentionArgs a{};
        a.batch = c_.batch, a.tokens = n, a.keys = c_.ahead == 0 ? length : c_.keys, a.heads = c_.heads, a.kv_heads = c_.kv_heads, a.width = c_.width, a.value_width = c_.value_width;
        a.q = q_.data() + t0 * token, a.q_batch = c_.tokens * token, a.q_token = token, a.q_head = c_.width;
        a.k.data = k_.data(), a.k.batch = c_.keys * c_.kv_heads * c_.width, a.k.token = c_.kv_heads * c_.width, a.k.head = c_.width;
        a.v.data = v_.data(), a.v.batch = c_.keys * c_.kv_heads * c_.value_width, a.v.token = c_.kv_heads * c_.value_width, a.v.head = c_.value_width;
        std::vector<PagedView> kv, vv;
        if (keys != nullptr) {
            kv = keys->views, vv = values->views;
            for (auto* list : {&kv, &vv})
                for (PagedView& view : *list) view.length = a.keys;
            a.k.views = kv.data(), a.k.type = keys->type, a.v.views = vv.data(), a.v.type = values->type;
        }
        a.scale = scale_, a.back = c_.back, a.ahead = c_.ahead, a.softcap = c_.softcap;
        if (c_.bias) a.bias = bias_.data() + t0 * c_.keys, a.bias_head = c_.tokens * c_.keys, a.bias_token = c_.keys;
        if (c_.mask) a.key_mask = mask_.data(), a.mask_batch = c_.keys;
        Guarded dst(c_.batch * n * out_token);
        a.dst = dst.get(), a.dst_batch = n * out_token, a.dst_token = out_token, a.dst_head = c_.value_width;
        Workspace workspace(attention_workspace_bytes(a, threads));
        attention(isa, a, workspace.get(), pool(threads).parallel());
        EXPECT_TRUE(dst.intact()) << c_.name << " " << isa_name(isa);
        EXPECT_TRUE(workspace.intact()) << c_.name << " " << isa_name(isa);
        return dst.values();
    }

    const std::vector<float>& k() const { return k_; }
    const std::vector<float>& v() const { return v_; }

  private:
    void reference_row(int64_t b, int64_t t, int64_t h, const Cache* keys, const Cache* values, int64_t first, std::vector<double>& out) const {
        const int64_t g = h / (c_.heads / c_.kv_heads), p = c_.keys - c_.tokens + t;
        const auto row = [&](const std::vector<float>& x, const Cache* cache, int64_t s, int64_t n) {
            if (cache != nullptr) return cache->row(b, s, g);
            const float* at = x.data() + ((b * c_.keys + s) * c_.kv_heads + g) * n;
            return std::vector<float>(at, at + n);
        };
        std::vector<double> score(static_cast<size_t>(c_.keys), -INFINITY), sum(static_cast<size_t>(c_.value_width));
        double top = -INFINITY, total = 0;
        for (int64_t s = first; s < c_.keys; ++s) {
            if ((c_.back >= 0 && s < p - c_.back) || (c_.ahead >= 0 && s > p + c_.ahead) || (c_.mask && !mask_[static_cast<size_t>(b * c_.keys + s)])) continue;
            const std::vector<float> key = row(k_, keys, s, c_.width);
            double dot = 0;
            for (int64_t d = 0; d < c_.width; ++d) dot += static_cast<double>(q_[static_cast<size_t>(((b * c_.tokens + t) * c_.heads + h) * c_.width + d)]) * key[static_cast<size_t>(d)];
            dot *= scale_;
            if (c_.softcap != 0) dot = c_.softcap * std::tanh(dot / c_.softcap);
            if (c_.bias) dot += bias_[static_cast<size_t>((h * c_.tokens + t) * c_.keys + s)];
            score[static_cast<size_t>(s)] = dot;
            top = std::fmax(top, dot);
        }
        for (int64_t s = first; s < c_.keys; ++s) {
            const double p_s = top == -INFINITY ? 1.0 : std::exp(score[static_cast<size_t>(s)] - top);
            if (p_s == 0) continue;
            total += p_s;
            const std::vector<float> value = row(v_, values, s, c_.value_width);
            for (int64_t d = 0; d < c_.value_width; ++d) sum[static_cast<size_t>(d)] += p_s * value[static_cast<size_t>(d)];
        }
        for (const double x : sum) out.push_back(x / total);
    }

    Config c_;
    std::vector<float> q_, k_, v_, bias_;
    std::vector<uint8_t> mask_;
    float scale_;
};

const std::vector<Config>& configs() {
    static const std::vector<Config> all = {
        {.name = "one of everything"},
        {.batch = 2, .tokens = 33, .keys = 33, .heads = 3, .kv_heads = 3, .width = 31, .value_width = 33, .name = "bidirectional, odd widths"},
        {.batch = 2, .tokens = 100, .keys = 100, .heads = 4, .kv_heads = 2, .width = 32, .value_width = 32, .ahead = 0, .name = "causal, grouped"},
        {.batch = 1, .tokens = 40, .keys = 170, .heads = 6, .kv_heads = 1, .width = 64, .value_width = 48, .ahead = 0, .name = "causal with history, one key head"},
        {.batch = 1, .tokens = 31, .keys = 300, .heads = 2, .kv_heads = 1, .width = 16, .value_width = 16, .back = 49, .ahead = 0, .name = "causal window"},
        {.batch = 1, .tokens = 150, .keys = 150, .heads = 2, .kv_heads = 2, .width = 24, .value_width = 24, .back = 20, .ahead = 20, .name = "symmetric window"},
        {.batch = 2, .tokens = 49, .keys = 49, .heads = 3, .kv_heads = 3, .width = 32, .value_width = 32, .softcap = 1.5f, .bias = true, .name = "bias and cap"},
        {.batch = 3, .tokens = 20, .keys = 20, .heads = 2, .kv_heads = 2, .width = 8, .value_width = 8, .ahead = 0, .mask = true, .name = "causal with padding: some rows see nothing"},
        {.batch = 1, .tokens = 10, .keys = 1100, .heads = 4, .kv_heads = 2, .width = 32, .value_width = 64, .ahead = 0, .name = "three runs of keys"},
        {.batch = 2, .tokens = 1, .keys = 1300, .heads = 8, .kv_heads = 2, .width = 64, .value_width = 64, .ahead = 0, .name = "decode"},
        {.batch = 1, .tokens = 5, .keys = 1025, .heads = 4, .kv_heads = 4, .width = 256, .value_width = 256, .back = 600, .ahead = 0, .softcap = 20.0f, .name = "decode, window and cap"},
        {.batch = 1, .tokens = 3, .keys = 1500, .heads = 2, .kv_heads = 2, .width = 64, .value_width = 64, .name = "cross attention of few tokens"},
    };
    return all;
}

TEST(Attention, EveryFormOnEveryInstructionSetAndThreadCount) {
    for (const Config& config : configs()) {
        const Case c(config);
        const std::vector<double> want = c.reference();
        for (const Isa isa : isas()) {
            EXPECT_EQ(attention_kernels(isa).isa, isa);
            const std::vector<float> one = c.run(isa, 1);
            EXPECT_TRUE(near(one, want, 5e-6)) << config.name << " " << isa_name(isa);
            EXPECT_TRUE(same_bits(c.run(isa, 2), one)) << config.name << " " << isa_name(isa);
            EXPECT_TRUE(same_bits(c.run(isa, 3), one)) << config.name << " " << isa_name(isa);
        }
    }
}

TEST(Attention, RowsDoNotDependOnTheRowsBesideThem) {
    // Prefill in one go, in pieces of 7 (which takes the way of few tokens) and row by row.
    Config config = {.batch = 1, .tokens = 40, .keys = 700, .heads = 4, .kv_heads = 2, .width = 40, .value_width = 40, .ahead = 0};
    for (const int64_t back : {int64_t{-1}, int64_t{99}}) {
        config.back = back;
        const Case c(config);
        const int64_t row = config.heads * config.value_width;
        for (const Isa isa : isas()) {
            const std::vector<float> all = c.run(isa, 2);
            for (const int64_t step : {1, 7, 20})
                for (int64_t t = 0; t < config.tokens; t += step) {
                    const int64_t end = std::min(t + step, config.tokens);
                    EXPECT_TRUE(same_bits(c.run_rows(isa, 2, t, end), {all.begin() + t * row, all.begin() + end * row})) << isa_name(isa) << " " << t << " step " << step;
                }
        }
    }
}

TEST(Attention, PagesOfEveryType) {
    for (const KvType type : {KvType::f32, KvType::f16, KvType::bf16, KvType::q8_0})
        for (const int64_t tokens : {1, 4, 50}) {
            const Config config = {.batch = 2, .tokens = tokens, .keys = 600, .heads = 4, .kv_heads = 2, .width = 64, .value_width = 32, .ahead = 0};
            const Case c(config);
            for (const Isa isa : isas())
                for (const int64_t page : {16, 100}) {
                    const Cache keys(isa, type, c.k(), 2, 600, 2, 64, page, 0), values(isa, type, c.v(), 2, 600, 2, 32, page, 0);
                    const std::vector<float> one = c.run(isa, 1, &keys, &values);
                    EXPECT_TRUE(near(one, c.reference(&keys, &values), 5e-6)) << isa_name(isa) << " type " << static_cast<int>(type);
                    EXPECT_TRUE(same_bits(c.run(isa, 3, &keys, &values), one));
                    if (type == KvType::f32) {
                        EXPECT_TRUE(same_bits(c.run(isa, 2), one)) << "pages against a plain tensor";
                    }
                }
        }
}

TEST(Attention, DroppedPagesAreNotRead) {
    for (const int64_t tokens : {1, 30}) {
        const Config config = {.batch = 1, .tokens = tokens, .keys = 700, .heads = 2, .kv_heads = 1, .width = 32, .value_width = 32, .ahead = 0};
        const Case c(config);
        for (const Isa isa : isas()) {
            const Cache keys(isa, KvType::f16, c.k(), 1, 700, 1, 32, 16, 333), values(isa, KvType::f16, c.v(), 1, 700, 1, 32, 16, 333);
            ASSERT_EQ(keys.pointers[0][19], nullptr);
            EXPECT_TRUE(near(c.run(isa, 2, &keys, &values), c.reference(&keys, &values, 333), 5e-6)) << isa_name(isa);
        }
    }
}

TEST(Attention, ANaNInAQueryShows) {
    const std::vector<float> q = {NAN, 1.0f}, k = {1, 2, 3, 4}, v = {1, 2, 3, 4};
    for (const Isa isa : isas()) {
        std::vector<float> dst(2);
        AttentionArgs a{};
        a.batch = 1, a.tokens = 1, a.keys = 2, a.heads = 1, a.kv_heads = 1, a.width = 2, a.value_width = 2;
        a.q = q.data(), a.q_token = 2, a.k.data = k.data(), a.k.token = 2, a.v.data = v.data(), a.v.token = 2, a.dst = dst.data(), a.dst_token = 2;
        Workspace workspace(attention_workspace_bytes(a, 1));
        attention(isa, a, workspace.get(), serial());
        EXPECT_TRUE(std::isnan(dst[0]) && std::isnan(dst[1])) << isa_name(isa);
    }
}

TEST(KvCache, ConversionsRoundToNearestEven) {
    const std::vector<float> x = {0.0f, -0.0f, 1.0f, 65504.0f, 65519.0f, 65520.0f, 1e-8f, 5.9604645e-8f, 6.1e-5f, 1.00048828125f, 1.00146484375f, INFINITY, -INFINITY, NAN, 3.3e38f, 2.98e-8f};
    const uint16_t half[] = {0, 0x8000, 0x3c00, 0x7bff, 0x7bff, 0x7c00, 0, 1, 0x03ff, 0x3c00, 0x3c02, 0x7c00, 0xfc00, 0x7e00, 0x7c00, 0};
    const uint16_t brain[] = {0, 0x8000, 0x3f80, 0x4780, 0x4780, 0x4780, 0x322c, 0x3380, 0x3880, 0x3f80, 0x3f80, 0x7f80, 0xff80, 0x7fc0, 0x7f78, 0x3300};
    for (const Isa isa : isas()) {
        std::vector<uint16_t> got(x.size());
        attention_kernels(isa).store(KvType::f16, x.data(), got.data(), static_cast<int64_t>(x.size()));
        for (size_t i = 0; i < x.size(); ++i) EXPECT_EQ(got[i], half[i]) << isa_name(isa) << " f16 of " << x[i];
        std::vector<float> back(x.size());
        attention_kernels(isa).load(KvType::f16, got.data(), back.data(), static_cast<int64_t>(x.size()));
        EXPECT_EQ(back[3], 65504.0f);
        EXPECT_EQ(back[7], 5.9604645e-8f);
        EXPECT_EQ(back[11], INFINITY);
        EXPECT_TRUE(std::isnan(back[13]));
        attention_kernels(isa).store(KvType::bf16, x.data(), got.data(), static_cast<int64_t>(x.size()));
        for (size_t i = 0; i < x.size(); ++i) EXPECT_EQ(got[i], brain[i]) << isa_name(isa) << " bf16 of " << x[i];
    }
    std::vector<float> row = fill(64, 30, -3, 3), back(64);
    row[5] = -3.5f;
    std::vector<unsigned char> blocks(68);
    attention_kernels(isas().back()).store(KvType::q8_0, row.data(), blocks.data(), 64);
    EXPECT_EQ(static_cast<int8_t>(blocks[2 + 5]), -127);
    attention_kernels(isas().back()).load(KvType::q8_0, blocks.data(), back.data(), 64);
    for (size_t i = 0; i < 64; ++i) EXPECT_NEAR(back[i], row[i], 3.5 / 127 * 0.51) << i;
}

}  // namespace
}  // namespace orrery::flt
