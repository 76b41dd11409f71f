// The memory of sessions: fork, rollback, marks, windows, save and load, frozen states.
#include <atomic>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "support.hpp"

namespace engine_tests {
namespace {

constexpr int32_t kVocabulary = 41;  // of llama, mistral_window and whisper; mamba has a few more

// name, cache type
using Kind = std::pair<const char*, const char*>;

class States : public testing::TestWithParam<Kind> {
  protected:
    void SetUp() override { model_ = open_golden(GetParam().first); }
    Session session() const {
        return make_session(model_, [](orr_session_options& o) { o.cache_type = GetParam().second, o.context = 100; });
    }
    Model model_;
    std::vector<int32_t> past_ = some_ids(70, kVocabulary, 1), left_ = some_ids(9, kVocabulary, 2), right_ = some_ids(9, kVocabulary, 3);
    std::vector<int32_t> joined(std::vector<int32_t> a, const std::vector<int32_t>& b) const {
        a.insert(a.end(), b.begin(), b.end());
        return a;
    }
};

TEST_P(States, ForksDiverge) {
    const Session parent = session();
    feed(parent, past_);
    const Session a = fork(parent), b = fork(parent);
    EXPECT_EQ(orr_session_position(a.get()), 70);
    // Interleaved, so that one writing what the other reads would show.
    std::vector<Tensor> got_a, got_b;
    for (size_t i = 0; i < left_.size(); i++) {
        got_a.push_back(feed(a, {left_[i]}));
        got_b.push_back(feed(b, {right_[i]}));
    }
    const Tensor got_parent = feed(parent, part(left_, 0, 1));
    const Session fresh_a = session(), fresh_b = session();
    feed(fresh_a, past_);
    feed(fresh_b, past_);
    for (size_t i = 0; i < left_.size(); i++) {
        EXPECT_SAME_BITS(feed(fresh_a, {left_[i]}), got_a[i]) << i;
        EXPECT_SAME_BITS(feed(fresh_b, {right_[i]}), got_b[i]) << i;
    }
    EXPECT_SAME_BITS(got_parent, got_a[0]);
    EXPECT_NE(got_a[1].bytes, got_b[1].bytes);
}

TEST_P(States, ForkOutlivesItsParent) {
    Session parent = session();
    feed(parent, past_);
    const Session forked = fork(parent);
    parent.reset();
    const Session fresh = session();
    feed(fresh, past_);
    EXPECT_SAME_BITS(feed(forked, left_), feed(fresh, left_));
}

TEST_P(States, RollbackToAMarkReplaysTheBits) {
    const Session s = session();
    feed(s, past_);
    check(orr_session_mark(s.get()));
    const Tensor first = feed(s, left_);
    feed(s, right_);
    check(orr_session_rollback(s.get(), 70));
    EXPECT_EQ(orr_session_position(s.get()), 70);
    EXPECT_SAME_BITS(feed(s, left_), first);
    // and again: a mark can be returned to more than once
    check(orr_session_rollback(s.get(), 70));
    feed(s, right_);
    check(orr_session_rollback(s.get(), 70));
    EXPECT_SAME_BITS(feed(s, left_), first);
}

TEST_P(States, ForksReturnToTheirParentsMarks) {
    const Session s = session();
    feed(s, past_);
    check(orr_session_mark(s.get()));
    const Tensor first = feed(s, left_);
    const Session forked = fork(s);
    check(orr_session_rollback(forked.get(), 70));
    EXPECT_SAME_BITS(feed(forked, left_), first);
    EXPECT_SAME_BITS(feed(s, right_), feed(forked, right_));
}

TEST_P(States, RollbackToTheStartAndReset) {
    const Session s = session();
    const Tensor first = feed(s, past_);
    check(orr_session_rollback(s.get(), 0));
    EXPECT_SAME_BITS(feed(s, past_), first);
    check(orr_session_reset(s.get()));
    EXPECT_EQ(orr_session_position(s.get()), 0);
    EXPECT_SAME_BITS(feed(s, past_), first);
    expect_failure([&] { check(orr_session_rollback(s.get(), 71)); }, ORR_INVALID_ARGUMENT, {"71", "70"});
    expect_failure([&] { check(orr_session_rollback(s.get(), -1)); }, ORR_INVALID_ARGUMENT, {"-1"});
}

TEST_P(States, SavedAndLoadedInANewProcess) {
    const std::string file = scratch(std::string(GetParam().first) + GetParam().second), out = file + ".out";
    const Session s = session();
    feed(s, past_);
    check(orr_session_save(s.get(), file.c_str()));
    ASSERT_EQ(run_child("continue", {GetParam().first, GetParam().second, file, out}), 0);
    const Tensor want = feed(s, left_);
    EXPECT_EQ(read_file(out), std::string(want.bytes.begin(), want.bytes.end()));
}

const RegisterChild continue_child("continue", [](const std::vector<std::string>& a) {
    const Model model = open_golden(a[0]);
    const Session s = make_session(model, [&](orr_session_options& o) { o.cache_type = a[1].c_str(), o.context = 100; });
    check(orr_session_load(s.get(), a[2].c_str()));
    if (orr_session_position(s.get()) != 70) return 1;
    const Tensor got = feed(s, some_ids(9, kVocabulary, 2));
    std::ofstream(a[3], std::ios::binary).write(got.bytes.data(), static_cast<std::streamsize>(got.bytes.size()));
    return 0;
});

INSTANTIATE_TEST_SUITE_P(Cases, States,
                         testing::Values(Kind{"llama", "f32"}, Kind{"llama", "f16"}, Kind{"llama", "bf16"}, Kind{"gemma3", "f32"}, Kind{"mistral_window", "f32"}, Kind{"mamba", "f32"}),
                         [](const auto& info) { return std::string(info.param.first) + "_" + info.param.second; });

TEST(Rollback, AppendStatesReturnAnywhere) {
    const Model model = open_golden("llama");
    const Session s = make_session(model);
    const auto ids = some_ids(90, kVocabulary);
    std::vector<Tensor> steps;
    for (const int32_t id : ids) steps.push_back(feed(s, {id}));
    for (const size_t at : {size_t{89}, size_t{65}, size_t{64}, size_t{63}, size_t{1}}) {
        check(orr_session_rollback(s.get(), static_cast<int64_t>(at)));
        EXPECT_SAME_BITS(feed(s, {ids[at]}), steps[at]) << at;
    }
}

TEST(Rollback, RecurrentStatesNeedAMark) {
    const Model model = open_golden("mamba");
    const Session s = make_session(model);
    const auto ids = some_ids(20, kVocabulary);
    feed(s, part(ids, 0, 10));
    const Tensor first = feed(s, part(ids, 10, 15));
    expect_failure([&] { check(orr_session_rollback(s.get(), 10)); }, ORR_LIMIT, {"recurrent", "mark", "10"});
    EXPECT_EQ(orr_session_position(s.get()), 15);
    const Session fresh = make_session(model);
    feed(fresh, part(ids, 0, 10));
    feed(fresh, part(ids, 10, 15));
    EXPECT_SAME_BITS(feed(s, part(ids, 15, 20)), feed(fresh, part(ids, 15, 20)));
}

TEST(Rollback, MarksBehindThePositionAreForgotten) {
    const Model model = open_golden("mamba");
    const Session s = make_session(model);
    const auto ids = some_ids(20, kVocabulary);
    feed(s, part(ids, 0, 5));
    check(orr_session_mark(s.get()));
    feed(s, part(ids, 5, 10));
    check(orr_session_mark(s.get()));
    feed(s, part(ids, 10, 15));
    check(orr_session_rollback(s.get(), 5));
    feed(s, some_ids(10, kVocabulary, 9));
    expect_failure([&] { check(orr_session_rollback(s.get(), 10)); }, ORR_LIMIT, {"mark", "10"});
    check(orr_session_rollback(s.get(), 5));
}

class Window : public testing::Test {
  protected:
    Checkpoint checkpoint_ = Checkpoint::golden("mistral_window", {{"max_position_embeddings", 1024}});
    Model model_ = checkpoint_.open();
    std::vector<int32_t> ids_ = some_ids(600, kVocabulary);
    Session fed(size_t count) const {
        Session s = make_session(model_);
        feed(s, part(ids_, 0, count));
        return s;
    }
};

TEST_F(Window, RollsBackWithinItsSlack) {
    const Session s = fed(500);
    const Tensor first = feed(s, part(ids_, 500, 501));
    feed(s, part(ids_, 501, 600));
    check(orr_session_rollback(s.get(), 500));
    EXPECT_SAME_BITS(feed(s, part(ids_, 500, 501)), first);
}

TEST_F(Window, RefusesBeyondItsSlack) {
    const Session s = fed(500);
    expect_failure([&] { check(orr_session_rollback(s.get(), 100)); }, ORR_LIMIT, {"window of 5", "100"});
    EXPECT_EQ(orr_session_position(s.get()), 500);
    const Session fresh = fed(500);
    EXPECT_SAME_BITS(feed(s, part(ids_, 500, 510)), feed(fresh, part(ids_, 500, 510)));
}

TEST_F(Window, HoldsAWindowOnly) {
    const Session s = fed(600);
    for (const auto& state : description(s, "states", "states")) {
        // 600 tokens would be 10 pages of 64; the window of 5, the slack of 128 and page edges are at most 4
        EXPECT_LE(state["bytes"].get<uint64_t>(), 4u * 64 * 2 * 6 * sizeof(float)) << state;
    }
}

TEST_F(Window, StepsGiveTheWholeAcrossDroppedPages) {
    const Session whole = make_session(model_), steps = make_session(model_);
    const Tensor want = feed(whole, ids_);
    Tensor got;
    for (size_t at = 0; at < ids_.size(); at += 25) got = feed(steps, part(ids_, at, at + 25));
    EXPECT_LE(difference(got, want), 1e-5);
}

// ---------------------------------------------------------------- save files

class Saved : public testing::Test {
  protected:
    void SetUp() override {
        session_ = make_session(model_);
        feed(session_, past_);
        file_ = scratch("saved");
        check(orr_session_save(session_.get(), file_.c_str()));
        bytes_ = read_file(file_);
        want_ = feed(session_, next_);
    }
    std::vector<std::string> names() const {  // of the plain model's states
        std::vector<std::string> out;
        for (const Json& state : description(session_, "states", "states")) out.push_back(state["name"]);
        return out;
    }
    void write(const std::string& bytes) const { std::ofstream(file_, std::ios::binary) << bytes; }
    // Refused, and the session works as a session that has seen what it says it has seen.
    void expect_refused(orr_status status, const std::vector<std::string>& parts) const {
        const Session s = make_session(model_);
        feed(s, next_);
        expect_failure([&] { check(orr_session_load(s.get(), file_.c_str())); }, status, parts);
        EXPECT_EQ(orr_session_position(s.get()), static_cast<int64_t>(next_.size())) << "a refused file changed the session";
        const Session fresh = make_session(model_);
        feed(fresh, next_);
        EXPECT_SAME_BITS(feed(s, past_), feed(fresh, past_));
    }
    Model model_ = open_golden("llama");
    Session session_;
    std::vector<int32_t> past_ = some_ids(30, kVocabulary, 1), next_ = some_ids(5, kVocabulary, 2);
    std::string file_, bytes_;
    Tensor want_;
};

TEST_F(Saved, LoadsIntoAnySessionOfTheModel) {
    const Session s = make_session(model_, [](orr_session_options& o) { o.threads = 2, o.context = 64; });
    feed(s, next_);
    check(orr_session_load(s.get(), file_.c_str()));
    EXPECT_EQ(orr_session_position(s.get()), 30);
    EXPECT_SAME_BITS(feed(s, next_), want_);
}

TEST_F(Saved, Truncated) {
    for (const size_t keep : {size_t{0}, size_t{4}, size_t{8}, size_t{20}, size_t{60}, bytes_.size() / 2, bytes_.size() - 8, bytes_.size() - 1}) {
        SCOPED_TRACE(keep);
        write(bytes_.substr(0, keep));
        expect_refused(ORR_CORRUPT, {file_});
    }
}

TEST_F(Saved, Longer) {
    write(bytes_ + "x");
    expect_refused(ORR_CORRUPT, {file_});
}

TEST_F(Saved, EveryDamagedByteIsNoticed) {
    for (size_t at = 0; at < bytes_.size(); at += at < 200 ? 7 : bytes_.size() / 23) {
        SCOPED_TRACE(at);
        std::string damaged = bytes_;
        damaged[at] = static_cast<char>(damaged[at] ^ 0x40);
        write(damaged);
        expect_refused(ORR_CORRUPT, {file_});
    }
}

TEST_F(Saved, Missing) {
    std::filesystem::remove(file_);
    expect_refused(ORR_NOT_FOUND, {file_});
}

TEST_F(Saved, OfAnotherModel) {
    const Session other = make_session(open_golden("qwen3"));
    feed(other, past_);
    check(orr_session_save(other.get(), file_.c_str()));
    expect_refused(ORR_INVALID_ARGUMENT, {file_, "fingerprint"});
}

TEST_F(Saved, OfAnotherCacheType) {
    const Session other = make_session(model_, [](orr_session_options& o) { o.cache_type = "f16"; });
    feed(other, past_);
    check(orr_session_save(other.get(), file_.c_str()));
    expect_refused(ORR_INVALID_ARGUMENT, {file_, "f16", "f32"});
}

TEST_F(Saved, OfAnotherBatch) {
    const Session other = make_session(model_, [](orr_session_options& o) { o.batch = 2; });
    check(orr_session_save(other.get(), file_.c_str()));
    expect_refused(ORR_INVALID_ARGUMENT, {file_, "batch", "2", "1"});
}

TEST_F(Saved, BeyondTheContext) {
    const Session small = make_session(model_, [](orr_session_options& o) { o.context = 20; });
    expect_failure([&] { check(orr_session_load(small.get(), file_.c_str())); }, ORR_LIMIT, {"30", "20"});
    feed(small, next_);
}

// The file taken apart and put together again, with a checksum that fits.
struct Parts {
    struct State {
        std::string name, what, contents;  // what: kind, type, window, dims
    };
    std::string head;  // to the cache type, magic included
    std::vector<State> states;

    explicit Parts(const std::string& bytes) {
        size_t at = 0;
        const auto take = [&](size_t n) { return bytes.substr(std::exchange(at, at + n), n); };
        const auto number = [&](std::string* into) {
            const std::string text = take(8);
            if (into) *into += text;
            int64_t v;
            std::memcpy(&v, text.data(), 8);
            return v;
        };
        const auto text = [&](std::string* into) {
            const std::string t = take(static_cast<size_t>(number(into)));
            if (into) *into += t;
            return t;
        };
        head = take(32);
        text(&head);
        for (int64_t n = number(nullptr); n > 0; n--) {
            State& s = states.emplace_back();
            s.name = text(nullptr);
            number(&s.what);
            text(&s.what);
            number(&s.what);
            for (int64_t rank = number(&s.what); rank > 0; rank--) number(&s.what);
            const auto page = static_cast<size_t>(number(&s.contents));
            number(&s.contents);
            const int64_t length = number(&s.contents), first = number(&s.contents);
            for (int64_t p = first / 64; p * 64 < length; p++) s.contents += take(page);
        }
        EXPECT_EQ(at + 8, bytes.size());
    }
    static std::string number_text(int64_t v) { return {reinterpret_cast<const char*>(&v), 8}; }
    std::string together(bool described = true) const {
        std::string out = head + number_text(static_cast<int64_t>(states.size()));
        if (!described) out[7] = '2';
        for (const State& s : states) out += number_text(static_cast<int64_t>(s.name.size())) + s.name + (described ? s.what : "") + s.contents;
        uint64_t hash = 1469598103934665603u;  // FNV-1a
        for (const char c : out) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
        return out + number_text(static_cast<int64_t>(hash));
    }
};

TEST_F(Saved, FilesOfTheVersionBefore) {
    const Parts parts(bytes_);
    EXPECT_EQ(parts.together(), bytes_);
    write(parts.together(false));
    for (const char* plan : {static_cast<const char*>(nullptr), "\"0\""}) {  // the states of the plain model, whatever the controls are
        const Session s = make_session(model_);
        check(orr_session_set_control(s.get(), "layer_plan", plan));
        check(orr_session_load(s.get(), file_.c_str()));
        check(orr_session_set_control(s.get(), "layer_plan", nullptr));
        EXPECT_SAME_BITS(feed(s, next_), want_);
    }
}

TEST_F(Saved, WhatAStateIsMustBeWhatTheModelSays) {
    const Parts good(bytes_);
    const auto refused = [&](const std::function<void(Parts&)>& change, const std::vector<std::string>& wanted) {
        Parts parts = good;
        change(parts);
        write(parts.together());
        const Session s = make_session(model_);
        expect_failure([&] { check(orr_session_load(s.get(), file_.c_str())); }, ORR_CORRUPT, wanted);
        EXPECT_SAME_BITS(feed(s, past_), feed(make_session(model_), past_));
    };
    const std::string name = good.states[0].name;
    const auto set = [](size_t field, int64_t value) { return [=](Parts& p) { p.states[0].what.replace(field * 8, 8, Parts::number_text(value)); }; };
    refused(set(0, 7), {file_, name, "kind 7"});
    refused(set(0, 2), {file_, name, "recurrent", "append"});
    refused(set(2, 9), {file_, name, "window 9", "window 0"});
    refused(set(2, -9), {file_, name, "window -9"});
    refused(set(3, 99), {file_, name, "rank 99"});
    refused(set(4, 99), {file_, name, "[99", "the model's is append"});
    refused(set(4, 0), {file_, name, "an axis of 0"});
    refused(set(4, int64_t{1} << 60), {file_, name, "an axis of"});
    refused([](Parts& p) { p.states.push_back(p.states[0]); }, {file_, name, "twice"});
}

// Of states that only other controls have nothing is known yet: the run that wants them refuses what does not fit.
TEST_F(Saved, WhatAStateOfOtherControlsIsIsCheckedWhenItIsWanted) {
    const Session other = make_session(model_);
    check(orr_session_set_control(other.get(), "layer_plan", "\"0,1,1\""));
    feed(other, past_);
    check(orr_session_save(other.get(), file_.c_str()));
    Parts parts(read_file(file_));
    const std::vector<std::string> plain = names();
    int changed = 0;
    for (Parts::State& s : parts.states)
        if (std::find(plain.begin(), plain.end(), s.name) == plain.end()) {
            changed++;
            s.what.replace(16, 8, Parts::number_text(5));
        }
    ASSERT_EQ(changed, 2);
    write(parts.together());
    const Session s = make_session(model_);
    check(orr_session_load(s.get(), file_.c_str()));
    check(orr_session_set_control(s.get(), "layer_plan", "\"0,1,1\""));
    expect_failure([&] { feed(s, next_); }, ORR_INVALID_ARGUMENT, {"layers.", "window 5", "window 0", "reset"});
    check(orr_session_reset(s.get()));
    const Session fresh = make_session(model_);
    check(orr_session_set_control(fresh.get(), "layer_plan", "\"0,1,1\""));
    EXPECT_SAME_BITS(feed(s, next_), feed(fresh, next_));
}

TEST_F(Saved, IntoAFolderThatIsNotThere) {
    const std::string path = scratch("nowhere/saved");
    expect_failure([&] { check(orr_session_save(session_.get(), path.c_str())); }, ORR_IO, {path});
}

TEST_F(Saved, ThroughALink) {
    const std::string link = scratch("link");
    std::filesystem::remove(link);
    std::filesystem::create_symlink(file_, link);
    write("what was there");
    const Session s = make_session(model_);
    feed(s, past_);
    check(orr_session_save(s.get(), link.c_str()));
    EXPECT_TRUE(std::filesystem::is_symlink(link));
    EXPECT_TRUE(read_file(file_) == bytes_);
}

TEST_F(Saved, ToWhatIsNoFile) {
    if (!std::filesystem::is_character_file("/dev/full")) GTEST_SKIP() << "there is no /dev/full";
    const Session s = make_session(model_);
    feed(s, past_);
    expect_failure([&] { check(orr_session_save(s.get(), "/dev/full")); }, ORR_IO, {"/dev/full"});
    check(orr_session_save(s.get(), "/dev/null"));
    EXPECT_TRUE(std::filesystem::is_character_file("/dev/full") && std::filesystem::is_character_file("/dev/null"));
    expect_failure([&] { check(orr_session_load(s.get(), "/dev/zero")); }, ORR_IO, {"/dev/zero"});
}

// A state that takes more than the file has is refused before memory is taken for it.
TEST_F(Saved, OfAStateThatTheFileCannotHold) {
    Parts parts(bytes_);
    Parts::State big;
    constexpr int64_t kRecurrent = 2;  // ORR_STATE_RECURRENT
    big.name = "theirs";
    const auto number = [](int64_t v) { return Parts::number_text(v); };
    big.what = number(kRecurrent) + number(3) + "f32" + number(0) + number(1) + number(int64_t{1} << 34);
    big.contents = number(int64_t{1} << 36);
    parts.states.push_back(big);
    write(parts.together());
    expect_failure([&] { check(orr_session_load(make_session(model_).get(), file_.c_str())); }, ORR_CORRUPT, {file_, "theirs", "68719476736"});
    parts.states.back().what = number(kRecurrent) + number(0) + number(0) + number(1) + number(4);
    write(parts.together());
    expect_failure([&] { check(orr_session_load(make_session(model_).get(), file_.c_str())); }, ORR_CORRUPT, {file_, "theirs", "no element type"});
}

// ---------------------------------------------------------------- memory

struct Counted {
    std::atomic<int64_t> live{0}, allocated{0};
    orr_allocator table{ORR_HEADER(orr_allocator), this,
                        [](void* user, size_t bytes, size_t alignment) {
                            auto& c = *static_cast<Counted*>(user);
                            c.live += static_cast<int64_t>(bytes);
                            c.allocated += static_cast<int64_t>(bytes);
                            return std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
                        },
                        [](void* user, void* memory, size_t bytes, size_t) {
                            static_cast<Counted*>(user)->live -= static_cast<int64_t>(bytes);
                            std::free(memory);
                        }};
};

TEST(Fork, AllocatesLittleAt4000Tokens) {
    Counted counted;
    {
        const Engine engine = make_engine([&](orr_engine_options& o) { o.allocator = &counted.table; });
        Checkpoint checkpoint = Checkpoint::golden("llama", {{"max_position_embeddings", 8192}});
        const Model model = checkpoint.open(engine.get());
        const Session s = make_session(model);
        for (int i = 0; i < 8; i++) feed(s, some_ids(500, kVocabulary, static_cast<uint32_t>(i)));
        ASSERT_EQ(orr_session_position(s.get()), 4000);
        const int64_t states = Json::parse(describe(s, "states"))["bytes"].get<int64_t>();
        ASSERT_GT(states, 700 * 1024);  // 4,000 tokens: two layers, keys and values, 2 heads of 6, f32
        const int64_t before = counted.allocated;
        const Session forked = fork(s);
        EXPECT_EQ(counted.allocated, before) << "a fork shares every page";
        feed(forked, {1});
        EXPECT_LT(counted.allocated - before, 256 * 1024) << "a forked step copies the last pages alone";
        feed(s, {2});
        EXPECT_EQ(feed(forked, {3}).bytes.size(), kVocabulary * sizeof(float));
    }
    EXPECT_EQ(counted.live, 0);
}

// ---------------------------------------------------------------- frozen states

class Frozen : public testing::Test {
  protected:
    void SetUp() override {
        inputs_ = read_tensors(golden_folder("whisper") + "/inputs.safetensors");
        want_ = read_tensors(golden_folder("whisper") + "/outputs.safetensors");
        for (const auto& [name, t] : inputs_) (t.shape.size() == 3 ? features_ : ids_) = name;
        sound_ = {{features_, inputs_.at(features_).cut(0, 0, 1)}};
        other_sound_ = {{features_, inputs_.at(features_).cut(0, 1, 2)}};
        tokens_ = {{ids_, inputs_.at(ids_).cut(0, 0, 1)}};
    }
    Model model_ = open_golden("whisper");
    Tensors inputs_, want_, sound_, other_sound_, tokens_;
    std::string features_, ids_;
};

TEST_F(Frozen, DecodeReadsWhatEncodeWrote) {
    const Session s = make_session(model_);
    run(s, sound_, "encode");
    EXPECT_LE(difference(run(s, tokens_, "decode").at("logits"), want_.at("logits").cut(0, 0, 1)), 1e-4);
}

TEST_F(Frozen, DecodeBeforeEncodeIsRefused) {
    const Session s = make_session(model_);
    expect_failure([&] { run(s, tokens_, "decode"); }, ORR_INVALID_ARGUMENT, {"decode", "no run has written"});
    run(s, sound_, "encode");
    run(s, tokens_, "decode");
}

TEST_F(Frozen, ForksShareIt) {
    const Session s = make_session(model_);
    run(s, sound_, "encode");
    const Session a = fork(s), b = fork(s);
    const Tensor first = run(a, tokens_, "decode").at("logits");
    run(b, other_sound_, "encode");  // leaves a's alone
    check(orr_session_rollback(a.get(), 0));
    EXPECT_SAME_BITS(run(a, tokens_, "decode").at("logits"), first);
    EXPECT_NE(run(b, tokens_, "decode").at("logits").bytes, first.bytes);
    EXPECT_SAME_BITS(run(s, tokens_, "decode").at("logits"), first);
}

// A frozen state stays when the session goes back, so it may have seen more than the position.
TEST_F(Frozen, SavedBehindARollback) {
    const Session s = make_session(model_), loaded = make_session(model_);
    run(s, sound_, "encode");
    run(s, tokens_, "decode");
    run(s, other_sound_, "encode");
    check(orr_session_rollback(s.get(), 0));
    const std::string file = scratch("whisper_back");
    check(orr_session_save(s.get(), file.c_str()));
    check(orr_session_load(loaded.get(), file.c_str()));
    EXPECT_SAME_BITS(run(loaded, tokens_, "decode").at("logits"), run(s, tokens_, "decode").at("logits"));
}

TEST_F(Frozen, SavedAndLoaded) {
    const Session s = make_session(model_);
    run(s, sound_, "encode");
    const std::string file = scratch("whisper");
    check(orr_session_save(s.get(), file.c_str()));
    const Tensor first = run(s, tokens_, "decode").at("logits");
    const Session loaded = make_session(model_);
    check(orr_session_load(loaded.get(), file.c_str()));
    EXPECT_SAME_BITS(run(loaded, tokens_, "decode").at("logits"), first);
}

TEST_F(Frozen, ACancelledEncodeLeavesTheOldOne) {
    bool cancel = false;
    const Session s = make_session(model_, [&](orr_session_options& o) {
        o.progress = [](void* user, double, const char*) { return !*static_cast<bool*>(user); };
        o.progress_user = &cancel;
    });
    run(s, sound_, "encode");
    cancel = true;
    expect_failure([&] { run(s, other_sound_, "encode"); }, ORR_CANCELLED, {});
    cancel = false;
    EXPECT_LE(difference(run(s, tokens_, "decode").at("logits"), want_.at("logits").cut(0, 0, 1)), 1e-4);
}

}  // namespace
}  // namespace engine_tests
