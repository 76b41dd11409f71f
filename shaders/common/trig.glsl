// Cosine and sine to 2 units in the last place for |x| up to 2^18: what the language gives may be off by 2^-11.
#ifndef ORR_TRIG_GLSL
#define ORR_TRIG_GLSL

// Cody and Waite, Software Manual for the Elementary Functions, 1980: pi / 2 in parts of 6 bits, whose products with a whole
// number below 2^18 are exact, so that nothing is lost where the large parts cancel.
vec2 cos_sin(float x) {
    const float turns = roundEven(x * 0.636619772);
    precise float r = x - turns * 1.5625;
    r = r - turns * 0.008056640625;
    r = r - turns * 0.00023651123046875;
    r = r - turns * 3.159046173095703e-06;
    r = r - turns * 1.5893254712295857e-08;
    const float r2 = r * r;
    // Taylor's series; |r| <= pi / 4
    const float s = r + r * r2 * (-1.0 / 6.0 + r2 * (1.0 / 120.0 + r2 * (-1.0 / 5040.0 + r2 / 362880.0)));
    const float c = 1.0 + r2 * (-0.5 + r2 * (1.0 / 24.0 + r2 * (-1.0 / 720.0 + r2 * (1.0 / 40320.0 - r2 / 3628800.0))));
    const int quarter = int(turns) & 3;
    const vec2 turned = (quarter & 1) == 0 ? vec2(c, s) : vec2(s, c);
    return vec2(quarter == 1 || quarter == 2 ? -turned.x : turned.x, quarter >= 2 ? -turned.y : turned.y);
}
#endif
