// A renderer that runs a model between two of its passes, on one device and one queue:
//   fill.comp paints a picture into a buffer of the renderer's; an image classifier looks at it where it lies; shade.comp draws the scores from
//   where the model left them. The processor orders nothing and copies nothing: a timeline semaphore stands between the three.
//     vulkan_share MODEL [--frames N] [--check]
//   --check: every frame again with the picture in host memory, a run that shares nothing; the scores must be the same bits. Status 1 when not.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string>

#include "orrery/orrery.hpp"
#include "renderer.hpp"

namespace {

namespace host = orrery::host;
constexpr uint32_t kRows = 8;

// The image that the model takes, and what it gives.
struct Ports {
    std::string input, output;
    uint32_t channels = 0, height = 0, width = 0, classes = 0;
};

Ports find_ports(const host::Model& model) {
    using Json = nlohmann::json;
    const Json in = Json::parse(model.describe("inputs")).at(0), out = Json::parse(model.describe("outputs")).at(0);
    const Json shape = in["shape"];
    const auto number = [](const Json& dim) { return static_cast<uint32_t>(std::stoul(dim.is_string() ? dim.get<std::string>() : dim.dump())); };
    if (in["type"] != "f32" || shape.size() != 4 || out["shape"].size() != 2)
        throw std::runtime_error("the model takes " + in.dump() + " and gives " + out.dump() + "; an image classifier is wanted");
    return {in["name"], out["name"], number(shape[1]), number(shape[2]), number(shape[3]), number(out["shape"][1])};
}

orr_named_tensor picture_tensor(const Ports& p) {
    orr_named_tensor t = host::options<orr_named_tensor>();
    t.name = p.input.c_str();
    t.type = ORR_TYPE_F32;
    t.rank = 4;
    t.shape[0] = 1;
    t.shape[1] = p.channels;
    t.shape[2] = p.height;
    t.shape[3] = p.width;
    t.size_bytes = uint64_t{4} * p.channels * p.height * p.width;
    return t;
}

orr_named_tensor run(const host::Session& session, const Ports& p, const orr_named_tensor& in) {
    const orr_named_tensor* const inputs[] = {&in};
    const char* const outputs[] = {p.output.c_str()};
    host::check(orr_session_run(session.raw(), nullptr, 1, inputs, 1, outputs));
    orr_named_tensor out = host::options<orr_named_tensor>();
    host::check(orr_session_output(session.raw(), p.output.c_str(), &out));
    return out;
}

class Show {
  public:
    Show(Renderer& renderer, const host::Model& model) : renderer_(renderer), ports_(find_ports(model)), session_(model.session()), plain_(model.session()) {
        for (auto& p : pictures_) p = renderer_.make_buffer(picture_tensor(ports_).size_bytes);
        bars_ = renderer_.make_buffer(uint64_t{4} * (kRows + 1) * ports_.classes);
    }
    ~Show() {
        for (auto& p : pictures_) renderer_.release(p);
        renderer_.release(bars_);
    }

    void frame(uint32_t n) {
        // Three moments of a frame: painted, looked at, drawn.
        const VkSemaphore t = renderer_.timeline();
        const Moment before{t, 3 * n}, painted{t, 3 * n + 1}, seen{t, 3 * n + 2}, drawn{t, 3 * n + 3};
        const Renderer::Buffer& picture = pictures_[n % 2];
        renderer_.fill(0, {picture.address, ports_.channels, ports_.height, ports_.width, 0.4f * static_cast<float>(n)}, before, painted);

        const orr_vulkan_semaphore waits{ORR_HEADER(orr_vulkan_semaphore), reinterpret_cast<void*>(t), painted.value};
        const orr_vulkan_semaphore signals{ORR_HEADER(orr_vulkan_semaphore), reinterpret_cast<void*>(t), seen.value};
        const orr_vulkan_output stays{ORR_HEADER(orr_vulkan_output), ports_.output.c_str(), nullptr};
        const orr_vulkan_semaphore* const wait_list[] = {&waits};
        const orr_vulkan_semaphore* const signal_list[] = {&signals};
        const orr_vulkan_output* const output_list[] = {&stays};
        const orr_vulkan_share share{ORR_HEADER(orr_vulkan_share), 1, 1, wait_list, signal_list, 1, output_list};
        host::check(orr_session_share(session_.raw(), &share));
        const orr_vulkan_buffer where{ORR_HEADER(orr_vulkan_buffer), reinterpret_cast<void*>(picture.buffer), 0, picture.address, picture.bytes, picture.usage};
        orr_named_tensor in = picture_tensor(ports_);
        in.buffer = &where;
        const orr_named_tensor out = run(session_, ports_, in);

        renderer_.shade(1, {out.buffer->address, bars_.address, ports_.classes, kRows}, seen, drawn);
        renderer_.wait(drawn);  // to show it; a renderer with a screen would present
    }

    // Whether a run through host memory gives the same scores.
    bool same(uint32_t n) {
        orr_named_tensor in = picture_tensor(ports_);
        in.data = pictures_[n % 2].mapped;
        const orr_named_tensor out = run(plain_, ports_, in);
        return std::memcmp(out.data, scores(), out.size_bytes) == 0;
    }

    void print(uint32_t n) const {
        const auto* cell = reinterpret_cast<const uint32_t*>(bars_.mapped);
        std::printf("frame %u\n", n);
        for (uint32_t row = 0; row < kRows; row++) {
            for (uint32_t c = 0; c < ports_.classes; c++) std::printf("%s", cell[row * ports_.classes + c] ? " ##" : "   ");
            std::printf("\n");
        }
        for (uint32_t c = 0; c < ports_.classes; c++) std::printf("%s%.6g", c ? " " : "scores ", static_cast<double>(scores()[c]));
        std::printf("\n");
    }

  private:
    const float* scores() const { return reinterpret_cast<const float*>(bars_.mapped) + kRows * ports_.classes; }
    Renderer& renderer_;
    Ports ports_;
    host::Session session_, plain_;
    Renderer::Buffer pictures_[2], bars_;
};

}  // namespace

int main(int argc, char** argv) {
    std::string path;
    uint32_t frames = 4;
    bool check = false;
    for (int i = 1; i < argc; i++) {
        const std::string word = argv[i];
        if (word == "--check")
            check = true;
        else if (word == "--frames" && i + 1 < argc)
            frames = static_cast<uint32_t>(std::strtoul(argv[++i], nullptr, 10));
        else
            path = word;
    }
    if (path.empty()) {
        std::fprintf(stderr, "usage: vulkan_share MODEL [--frames N] [--check]\n");
        return 2;
    }
    try {
        Renderer renderer;
        std::printf("device %s\n", renderer.device_name().c_str());
        const orr_vulkan_host device = renderer.share();
        orr_engine_options options = host::options<orr_engine_options>();
        options.vulkan = &device;
        options.log_level = ORR_LOG_WARNING;
        const host::Engine engine(&options);
        orr_model_options model_options = host::options<orr_model_options>();
        model_options.path = path.c_str();
        model_options.device = "vulkan";
        const host::Model model = engine.open(model_options);
        Show show(renderer, model);
        for (uint32_t n = 0; n < frames; n++) {
            show.frame(n);
            show.print(n);
            if (check && !show.same(n)) {
                std::fprintf(stderr, "frame %u: a run through host memory gives other scores\n", n);
                return 1;
            }
        }
        if (check) std::printf("%u frames, each as a run through host memory\n", frames);
    } catch (const std::exception& e) {
        std::fprintf(stderr, "%s\n", e.what());
        return 1;
    }
    return 0;
}
