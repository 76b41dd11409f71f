// Regular expressions as tokenizer.json writes them (Oniguruma's Ruby syntax, Unicode 16), run by PCRE2.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace orrery::text {

// Rewrites Oniguruma's Ruby syntax for PCRE2: classes with sets and intersections, \h \s \w \b as Oniguruma has them, (?m) for "dot
// matches newline", code points of newer Unicode versions. Throws TextError where PCRE2 has no equivalent.
std::string translate_regex(std::string_view pattern);

class Regex {
  public:
    explicit Regex(std::string_view pattern);  // throws TextError naming the pattern
    ~Regex();
    Regex(const Regex&) = delete;
    Regex& operator=(const Regex&) = delete;

    // The matches in one text after another. Cheap to make; one thread.
    class Finder {
      public:
        explicit Finder(const Regex& regex);
        ~Finder();
        Finder(const Finder&) = delete;
        Finder& operator=(const Finder&) = delete;
        void reset(std::string_view text);  // valid UTF-8 that outlives the search
        // The next match as Oniguruma's find_iter gives it: none empty directly after the last one. Throws TextError where the pattern gives up.
        bool next(size_t& begin, size_t& end);

      private:
        int match(size_t from);
        const Regex& regex_;
        void* data_;
        void* context_ = nullptr;
        void* stack_ = nullptr;
        std::string_view text_;
        size_t at_ = 0, last_end_ = SIZE_MAX;
    };

  private:
    friend class Finder;
    std::string pattern_;
    void* code_;
};

}  // namespace orrery::text
