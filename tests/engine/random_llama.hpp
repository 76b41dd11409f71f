// A model for tests that want weights of any type: small, of random numbers.
#pragma once

#include <bit>
#include <cstring>
#include <random>
#include <string>
#include <vector>

namespace engine_tests {

// A llama of random blocks of one type, in memory. Of its feed-forwards' hidden units, `keep` may leave the first ones alone: a file that was cut.
class RandomLlama {
  public:
    struct Type {
        const char* name;
        uint32_t number, elements, bytes;
        std::vector<uint32_t> scales;  // where f16 scales lie in a block
        double scale;
    };
    static inline const Type kF32 = {"f32", 0, 1, 4, {}, 0};
    static const std::vector<Type>& types();  // in blocks
    explicit RandomLlama(const Type& type, uint32_t units = 2 * kWidth, uint32_t keep = 0)
        : units_(keep ? keep : units), type_(type), random_(type.number) {
        add("token_embd.weight", kRows, kWidth, kF32);
        add("output.weight", kRows, kWidth, type);
        norm("output_norm.weight");
        for (int i = 0; i < 2; i++) {
            const std::string p = "blk." + std::to_string(i) + ".";
            norm(p + "attn_norm.weight");
            norm(p + "ffn_norm.weight");
            add(p + "attn_q.weight", kWidth, kWidth, type);
            add(p + "attn_k.weight", kWidth / 2, kWidth, type);
            add(p + "attn_v.weight", kWidth / 2, kWidth, type);
            add(p + "attn_output.weight", kWidth, kWidth, type);
            add(p + "ffn_gate.weight", units, kWidth, type, units_, kWidth);
            add(p + "ffn_up.weight", units, kWidth, type, units_, kWidth);
            add(p + "ffn_down.weight", kWidth, units, type, kWidth, units_);
        }
    }
    std::string file() {
        for (const auto& [key, value] : {std::pair{"general.architecture", "llama"}, {"tokenizer.ggml.model", "none"}})
            key_of(key, 8), text(keys_, value);
        for (const auto& [key, value] : {std::pair<const char*, uint32_t>{"context_length", 512},
                                         {"embedding_length", kWidth},
                                         {"block_count", 2},
                                         {"feed_forward_length", units_},
                                         {"attention.head_count", 4},
                                         {"attention.head_count_kv", 2},
                                         {"rope.dimension_count", kWidth / 4},
                                         {"vocab_size", kRows}})
            key_of(std::string("llama.") + key, 4), number(keys_, value);
        for (const auto& [key, value] : {std::pair{"attention.layer_norm_rms_epsilon", 1e-5f}, {"rope.freq_base", 1e4f}})
            key_of(std::string("llama.") + key, 6), number(keys_, value);
        std::string out = "GGUF";
        number(out, uint32_t{3});
        number(out, tensors_);
        number(out, count_);
        out += keys_ + infos_;
        out.resize((out.size() + 31) / 32 * 32);
        return out + data_;
    }

  private:
    static constexpr uint32_t kWidth = 256, kRows = 64;

    template <class T>
    static void number(std::string& to, T value) {
        to.append(reinterpret_cast<const char*>(&value), sizeof value);
    }
    static void text(std::string& to, const std::string& value) {
        number(to, static_cast<uint64_t>(value.size()));
        to += value;
    }
    void key_of(const std::string& name, uint32_t type) {
        text(keys_, name);
        number(keys_, type);
        count_++;
    }
    // Of a positive normal number.
    static uint16_t half(double x) {
        const auto bits = std::bit_cast<uint32_t>(static_cast<float>(x));
        return static_cast<uint16_t>((((bits >> 23) - 112) << 10) | ((bits >> 13) & 1023));
    }
    void norm(const std::string& name) { add(name, 1, kWidth, kF32, 1, kWidth); }
    void add(const std::string& name, uint32_t rows, uint32_t columns, const Type& type) { add(name, rows, columns, type, rows, columns); }
    void add(const std::string& name, uint32_t rows, uint32_t columns, const Type& type, uint32_t keep_rows, uint32_t keep_columns) {
        const bool vector = rows == 1;
        text(infos_, name);
        number(infos_, vector ? 1u : 2u);
        number(infos_, static_cast<uint64_t>(keep_columns));
        if (!vector) number(infos_, static_cast<uint64_t>(keep_rows));
        number(infos_, type.number);
        number(infos_, static_cast<uint64_t>(data_.size()));
        tensors_++;
        std::normal_distribution<float> values(vector ? 1.0f : 0.0f, vector ? 0.1f : 1.0f);
        for (uint32_t row = 0; row < rows; row++)
            for (uint32_t column = 0; column < columns; column += type.elements) {
                const std::string block = random_block(type, values);
                if (row < keep_rows && column < keep_columns) data_ += block;
            }
        data_.resize((data_.size() + 31) / 32 * 32);
    }
    std::string random_block(const Type& type, std::normal_distribution<float>& values) {
        std::string block;
        if (type.number == 0) {
            number(block, values(random_));
            return block;
        }
        for (uint32_t i = 0; i < type.bytes; i++) block += static_cast<char>(random_());
        if (type.number == 39) block[0] = static_cast<char>(type.scale);  // mxfp4: an exponent
        for (const uint32_t offset : type.scales) {
            const uint16_t scale = half(type.scale * (1 + 0.1 * static_cast<double>(random_() % 16)));
            std::memcpy(&block[offset], &scale, sizeof scale);
        }
        return block;
    }
    const uint32_t units_;
    const Type type_;
    std::mt19937 random_;
    std::string keys_, infos_, data_;
    uint64_t tensors_ = 0, count_ = 0;
};

// Blocks as gguf (PyPI, 0.17) has them in gguf.constants.GGML_QUANT_SIZES and gguf.quants.
inline const std::vector<RandomLlama::Type>& RandomLlama::types() {
    static const std::vector<Type> all = {
        {"q4_0", 2, 32, 18, {0}, 0.01},        {"q4_1", 3, 32, 20, {0, 2}, 0.01},      {"q5_0", 6, 32, 22, {0}, 0.005},
        {"q5_1", 7, 32, 24, {0, 2}, 0.005},    {"q8_0", 8, 32, 34, {0}, 0.0008},       {"q2_k", 10, 256, 84, {80, 82}, 0.004},
        {"q3_k", 11, 256, 110, {108}, 0.001},  {"q4_k", 12, 256, 144, {0, 2}, 0.0003}, {"q5_k", 13, 256, 176, {0, 2}, 0.0002},
        {"q6_k", 14, 256, 210, {208}, 0.0001}, {"iq4_nl", 20, 32, 18, {0}, 0.001},     {"iq4_xs", 23, 256, 136, {0}, 0.0001},
        {"mxfp4", 39, 32, 17, {}, 122}};
    return all;
}

}  // namespace engine_tests
