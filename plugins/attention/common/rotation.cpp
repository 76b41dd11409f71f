#include "common/rotation.hpp"

namespace orrery::attention {

Operator& declare_rotation_ports(Operator& op) {
    return op.input("positions", "i32 i64", "[B, T]")
        .input("inv_freq", "f32", "[R / 2], R <= D")
        .input("long_inv_freq", "f32", "[R / 2], for sequences longer than switch_length", ORR_PORT_OPTIONAL);
}

Operator& declare_rotation_attrs(Operator& op, const RotationNames& names) {
    return op.attr("interleaved", ORR_ATTR_BOOL, "false", "pairs are (2i, 2i + 1); else (i, i + R / 2)")
        .attr(names.scale, ORR_ATTR_FLOAT, "1", "factor of cosines and sines")
        .attr("switch_length", ORR_ATTR_INT, "0", "tokens; a sequence whose largest position + 1 exceeds it takes the long table; 0: never", "[0, inf)")
        .attr(names.long_scale, ORR_ATTR_FLOAT, "1", "that factor with the long table");
}

void check_rotation(const Infer& i, const std::string& op, uint32_t x_port, const std::string& name, const RotationPorts& at) {
    i.rank(x_port, 4, (op + name).c_str());
    i.rank(at.positions, 2, (op + "positions").c_str());
    i.rank(at.freq, 1, (op + "inv_freq").c_str());
    const orr_value_info &x = i.in(x_port), &positions = i.in(at.positions), &freq = i.in(at.freq);
    i.same(x.dims[0], positions.dims[0], op + "batch of " + name + " against positions");
    i.same(x.dims[1], positions.dims[1], op + "tokens of " + name + " against positions");
    if (freq.dims[0] >= 0 && x.dims[3] >= 0 && 2 * freq.dims[0] > x.dims[3])
        throw Error(ORR_INVALID_ARGUMENT, op + "inv_freq turns " + std::to_string(2 * freq.dims[0]) + " elements, heads have " + std::to_string(x.dims[3]));
    if (i.has(at.long_freq)) {
        i.rank(at.long_freq, 1, (op + "long_inv_freq").c_str());
        i.same(i.in(at.long_freq).dims[0], freq.dims[0], op + "elements of long_inv_freq against inv_freq");
    } else if (i.attr_int("switch_length") > 0) {
        throw Error(ORR_INVALID_ARGUMENT, op + "switch_length is " + std::to_string(i.attr_int("switch_length")) + " and long_inv_freq is absent");
    }
}

}  // namespace orrery::attention
