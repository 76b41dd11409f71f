#include "model/rope_config.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace orrery {

namespace {

// The arithmetic is in float where transformers' is, so that angles at large positions agree too.
std::vector<float> frequencies(int64_t dim, double theta) {
    std::vector<float> out;
    for (int64_t i = 0; i < dim; i += 2) out.push_back(1.0f / std::pow(static_cast<float>(theta), static_cast<float>(i) / static_cast<float>(dim)));
    return out;
}

double yarn_magnitude(double factor, double mscale) { return factor <= 1 ? 1.0 : 0.1 * mscale * std::log(factor) + 1.0; }

struct Yarn {
    double factor = 1, beta_fast = 32, beta_slow = 1;
    int64_t original = 0;
    bool truncate = true;
};

// Blends 1/theta^(2i/d) (fast dimensions) with the same divided by factor (slow ones) over a ramp.
std::vector<float> yarn_frequencies(int64_t dim, double theta, const Yarn& y) {
    const auto correction = [&](double rotations) {
        return static_cast<double>(dim) * std::log(static_cast<double>(y.original) / (rotations * 2 * std::numbers::pi)) / (2 * std::log(theta));
    };
    double low = correction(y.beta_fast), high = correction(y.beta_slow);
    if (y.truncate) {
        low = std::floor(low);
        high = std::ceil(high);
    }
    low = std::max(low, 0.0);
    high = std::min(high, static_cast<double>(dim - 1));
    if (low == high) high += 0.001;
    std::vector<float> out;
    for (int64_t i = 0; i < dim; i += 2) {
        const float power = std::pow(static_cast<float>(theta), static_cast<float>(i) / static_cast<float>(dim));
        const float fast = 1.0f / power, slow = 1.0f / (static_cast<float>(y.factor) * power);
        const float ramp = std::clamp((static_cast<float>(i / 2) - static_cast<float>(low)) / static_cast<float>(high - low), 0.0f, 1.0f);
        const float keep = 1.0f - ramp;
        out.push_back(slow * (1.0f - keep) + fast * keep);
    }
    return out;
}

void llama3_scale(std::vector<float>& inv_freq, double factor, double low, double high, double original) {
    const double low_wavelength = original / low, high_wavelength = original / high;
    for (float& f : inv_freq) {
        const float wavelength = static_cast<float>(2 * std::numbers::pi) / f;
        if (wavelength > low_wavelength) {
            f = static_cast<float>(f / factor);
        } else if (wavelength >= high_wavelength) {
            const double smooth = (original / wavelength - low) / (high - low);
            f = static_cast<float>((1 - smooth) * f / factor + smooth * f);
        }
    }
}

std::vector<float> divided(const std::vector<float>& inv_freq, const std::vector<float>& factors, const std::string& what) {
    if (factors.size() != inv_freq.size())
        throw Error(ORR_CORRUPT,
                    what + " has " + std::to_string(factors.size()) + " factors, the rotary table has " + std::to_string(inv_freq.size()));
    std::vector<float> out;
    for (size_t i = 0; i < factors.size(); i++) {
        if (!(factors[i] > 0)) throw Error(ORR_CORRUPT, what + " holds " + std::to_string(factors[i]) + ", wanted numbers above 0");
        out.push_back(inv_freq[i] / factors[i]);
    }
    return out;
}

std::vector<float> to_float(const std::vector<double>& v) { return {v.begin(), v.end()}; }

int64_t rotary_dim(int64_t head_dim, double partial, const std::string& label) {
    if (!(partial > 0 && partial <= 1))
        throw Error(ORR_CORRUPT, (label.empty() ? "" : label + ".") + "partial_rotary_factor is " + std::to_string(partial) + ", wanted a number in (0, 1]");
    const auto dim = static_cast<int64_t>(static_cast<double>(head_dim) * partial);
    if (dim < 2 || dim % 2)
        throw Error(ORR_UNSUPPORTED,
                    (label.empty() ? "" : label + ": ") + "the rotary width " + std::to_string(dim) + " of head width " + std::to_string(head_dim) + " is not even");
    return dim;
}

int64_t stretched(double factor, int64_t length) { return static_cast<int64_t>(std::min(factor * static_cast<double>(length), 2147483647.0)); }

double longrope_magnitude(double factor, double original) { return factor <= 1 ? 1.0 : std::sqrt(1 + std::log(factor) / std::log(original)); }

}  // namespace

RopeTable plain_rope(int64_t dim, double theta, double divisor) {
    RopeTable t;
    t.inv_freq = frequencies(dim, theta);
    for (float& f : t.inv_freq) f /= static_cast<float>(divisor);
    return t;
}

RopeTable hf_rope(const Json* parameters, const std::string& label, const RopeDefaults& d) {
    if (!parameters) return plain_rope(rotary_dim(d.head_dim, d.partial, ""), d.theta);
    const ModelConfig c(*parameters, label);
    const std::string type = c.text_or("rope_type", c.text_or("type", "default"));
    const double theta = c.positive_or("rope_theta", d.theta);
    const int64_t dim = rotary_dim(d.head_dim, c.positive_or("partial_rotary_factor", d.partial), label);
    const int64_t original = d.original_positions ? d.original_positions : c.size_or("original_max_position_embeddings", d.max_positions);
    const double implied = static_cast<double>(d.max_positions) / static_cast<double>(original);
    if (type == "default") return plain_rope(dim, theta);
    if (type == "linear") return plain_rope(dim, theta, c.positive("factor"));
    if (type == "dynamic") {
        RopeTable t = plain_rope(dim, theta);
        t.dynamic_factor = c.positive("factor");
        t.dynamic_length = d.max_positions;
        t.reach = stretched(t.dynamic_factor, d.max_positions);
        if (dim <= 2) throw Error(ORR_UNSUPPORTED, label + ": dynamic scaling needs a rotary width above 2, it is " + std::to_string(dim));
        return t;
    }
    if (type == "llama3") {
        RopeTable t = plain_rope(dim, theta);
        const double low = c.positive("low_freq_factor"), high = c.positive("high_freq_factor");
        if (high <= low)
            throw Error(ORR_CORRUPT, label + ".high_freq_factor " + std::to_string(high) + " is not above low_freq_factor " + std::to_string(low));
        llama3_scale(t.inv_freq, c.positive("factor"), low, high, static_cast<double>(original));
        return t;
    }
    if (type == "yarn") {
        Yarn y;
        y.factor = c.positive_or("factor", implied);
        y.beta_fast = c.positive_or("beta_fast", 32);
        y.beta_slow = c.positive_or("beta_slow", 1);
        y.original = original;
        y.truncate = c.flag_or("truncate", true);
        RopeTable t;
        t.inv_freq = yarn_frequencies(dim, theta, y);
        t.reach = stretched(y.factor, original);
        const double mscale = c.number_or("mscale", 0), all_dim = c.number_or("mscale_all_dim", 0);
        t.scale = mscale != 0 && all_dim != 0 ? yarn_magnitude(y.factor, mscale) / yarn_magnitude(y.factor, all_dim) : yarn_magnitude(y.factor, 1);
        t.scale = c.number_or("attention_factor", t.scale);
        return t;
    }
    if (type == "longrope" || type == "su") {
        if (original < 2) throw Error(ORR_CORRUPT, label + ".original_max_position_embeddings is " + std::to_string(original) + ", wanted 2 or more");
        RopeTable t;
        const std::vector<float> base = frequencies(dim, theta);
        t.inv_freq = divided(base, to_float(c.numbers("short_factor")), label + ".short_factor");
        t.long_inv_freq = divided(base, to_float(c.numbers("long_factor")), label + ".long_factor");
        t.scale = t.long_scale = c.number_or("attention_factor", longrope_magnitude(c.positive_or("factor", implied), static_cast<double>(original)));
        t.switch_length = original;
        return t;
    }
    c.refuse("rope_type", type, "default, linear, dynamic, yarn, longrope, llama3");
}

RopeTable hf_rope(const ModelConfig& config, RopeDefaults d) {
    d.theta = config.positive_or("rope_theta", d.theta);
    d.partial = config.positive_or("partial_rotary_factor", d.partial);
    const Json *now = config.find("rope_parameters"), *before = config.find("rope_scaling");
    if (now && before && now->is_object() && before->is_object())
        for (const auto& [key, value] : before->items())
            if (const auto it = now->find(key == "type" ? "rope_type" : key); it != now->end() && *it != value)
                throw Error(ORR_CORRUPT, config.label("rope_scaling") + "." + key + " is " + json_text(value) + ", rope_parameters says " + json_text(*it));
    if (now && now->is_object() && config.has("rope_theta") && now->contains("rope_theta") && now->at("rope_theta") != *config.find("rope_theta"))
        throw Error(ORR_CORRUPT, config.label("rope_theta") + " is " + json_text(*config.find("rope_theta")) + ", rope_parameters says " + json_text(now->at("rope_theta")));
    for (const char* key : {"rope_parameters", "rope_scaling"})
        if (const Json* p = config.find(key)) return hf_rope(p, config.label(key), d);
    return hf_rope(nullptr, "", d);
}

RopeTable gguf_rope(const ModelConfig& c, const orr_model_source& source, const RopeDefaults& d) {
    const double theta = c.positive_or("rope.freq_base", d.theta);
    const int64_t dim = c.size_or("rope.dimension_count", d.head_dim);
    if (dim % 2 || dim > d.head_dim)
        throw Error(ORR_CORRUPT, c.label("rope.dimension_count") + " is " + std::to_string(dim) + ", wanted an even number up to the head width " +
                                     std::to_string(d.head_dim));
    const std::string type = c.text_or("rope.scaling.type", "linear");
    const double divisor = c.number_or("rope.scaling.factor", c.number_or("rope.scale_linear", 0));
    const double factor = divisor > 0 ? divisor : 1;
    const int64_t original = c.size_or("rope.scaling.original_context_length", d.max_positions);
    const double magnitude = c.positive_or("rope.scaling.attn_factor", 1);
    RopeTable t;
    if (type == "none") {
        t = plain_rope(dim, theta);
    } else if (type == "linear") {
        t = plain_rope(dim, theta, factor);
    } else if (type == "yarn") {
        if (c.number_or("rope.scaling.yarn_ext_factor", 1) != 1)
            c.refuse("rope.scaling.yarn_ext_factor", std::to_string(c.number("rope.scaling.yarn_ext_factor")), "1");
        t.inv_freq = yarn_frequencies(
            dim, theta, {factor, c.positive_or("rope.scaling.yarn_beta_fast", 32), c.positive_or("rope.scaling.yarn_beta_slow", 1), original, true});
        const double all_dim = c.number_or("rope.scaling.yarn_log_multiplier", 0);
        t.scale = all_dim != 0 ? yarn_magnitude(factor, 1) / yarn_magnitude(factor, all_dim) : yarn_magnitude(factor, 1);
        t.scale = c.positive_or("rope.scaling.yarn_attn_factor", t.scale);
    } else if (type == "longrope") {
        t = plain_rope(dim, theta, factor);
    } else {
        c.refuse("rope.scaling.type", type, "none, linear, yarn, longrope");
    }
    t.scale = t.long_scale = t.scale * magnitude;
    if (has_tensor(source, "rope_freqs.weight")) {
        t.inv_freq = divided(t.inv_freq, read_f32(source, "rope_freqs.weight"), "rope_freqs.weight");
    } else if (has_tensor(source, "rope_factors_long.weight")) {
        t.long_inv_freq = divided(t.inv_freq, read_f32(source, "rope_factors_long.weight"), "rope_factors_long.weight");
        t.inv_freq = divided(t.inv_freq, read_f32(source, "rope_factors_short.weight"), "rope_factors_short.weight");
        t.switch_length = original;
    }
    return t;
}

}  // namespace orrery
