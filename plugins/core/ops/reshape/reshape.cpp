// The same elements in row-major order under another shape; torch.reshape. A view where x's strides allow it.
#include "common/view.hpp"

using namespace orrery;
using namespace orrery::core;

namespace {

// A product of extents: its constant factor, and the symbolic ones.
struct Product {
    int64_t constant = 1;
    std::vector<orr_dim> symbols;
    void take(orr_dim d) {
        if (d < 0) {
            symbols.push_back(d);
        } else if (__builtin_mul_overflow(constant, d, &constant)) {
            throw Error(ORR_INVALID_ARGUMENT, "reshape: more than 2^63 elements");
        }
    }
    orr_dim dim(const Infer& i) const {
        orr_dim d = constant;
        for (const orr_dim s : symbols) d = i.mul(d, s);
        return d;
    }
};

// Takes equal symbols out of both.
void cancel(Product& a, Product& b) {
    std::erase_if(a.symbols, [&](orr_dim s) {
        const auto found = std::find(b.symbols.begin(), b.symbols.end(), s);
        if (found == b.symbols.end()) return false;
        b.symbols.erase(found);
        return true;
    });
}

std::string shape_text(const std::vector<int64_t>& shape) {
    std::string out = "[";
    for (size_t n = 0; n < shape.size(); n++) out += (n ? ", " : "") + std::to_string(shape[n]);
    return out + "]";
}

[[noreturn]] void refuse_shape(const orr_value_info& x, const std::vector<int64_t>& shape) {
    throw Error(ORR_INVALID_ARGUMENT, "reshape: x is " + describe_dims(x) + ", which does not fill " + shape_text(shape));
}

void infer(const Infer& i) {
    const orr_value_info& x = i.in(0);
    const std::vector<int64_t> shape = i.attr_ints("shape");
    Product total, known;
    for (int32_t axis = 0; axis < x.rank; axis++) total.take(x.dims[axis]);
    std::vector<orr_dim> dims;
    int64_t open = -1;
    for (size_t axis = 0; axis < shape.size(); axis++) {
        if (shape[axis] == -1) {
            if (open >= 0) throw Error(ORR_INVALID_ARGUMENT, "reshape: two axes of " + shape_text(shape) + " are -1");
            open = static_cast<int64_t>(axis);
            dims.push_back(1);
            continue;
        }
        if (shape[axis] < -1) throw Error(ORR_INVALID_ARGUMENT, "reshape: shape holds " + std::to_string(shape[axis]) + "; it takes -1, 0 and extents");
        if (shape[axis] == 0 && axis >= static_cast<size_t>(x.rank))
            throw Error(ORR_INVALID_ARGUMENT, "reshape: axis " + std::to_string(axis) + " is copied from x, which has rank " + std::to_string(x.rank));
        dims.push_back(shape[axis] == 0 ? x.dims[axis] : shape[axis]);
        known.take(dims.back());
    }
    const bool empty = total.constant == 0;
    cancel(total, known);
    if (open >= 0) {
        if (known.constant == 0 || (!empty && known.symbols.empty() && total.symbols.empty() && total.constant % known.constant != 0)) refuse_shape(x, shape);
        if (total.constant % known.constant == 0) {
            total.constant /= known.constant;
            known.constant = 1;
        }
        const orr_dim rest = known.dim(i);
        dims[open] = rest == 1 ? total.dim(i) : i.div(total.dim(i), rest);
    } else if (i.known_different(total.dim(i), known.dim(i))) {
        refuse_shape(x, shape);
    }
    i.out(0, x.type, dims);
}

// Splits and joins axes of x while the strides of the joined ones agree. False where they do not.
bool strides_under(const orr_tensor& x, const orr_tensor& y, View* v) {
    std::array<int64_t, ORR_MAX_RANK> extent{}, stride{};
    int32_t rank = 0;
    for (int32_t axis = 0; axis < x.rank; axis++) {
        if (x.shape[axis] == 1) continue;
        extent[rank] = x.shape[axis];
        stride[rank++] = x.stride_bytes[axis];
    }
    v->rank = y.rank;
    v->shape = shape_of(y);
    int32_t from = rank, to = y.rank;
    while (from > 0 || to > 0) {
        // The smallest groups of trailing axes on both sides with one number of elements.
        int32_t low_from = from, low_to = to;
        int64_t left = 1, right = 1;
        if (low_from > 0) left = extent[--low_from];
        while (low_to > 0 && right < left) right *= y.shape[--low_to];
        while (left != right) {
            if (left < right) {
                if (low_from == 0) return false;
                left *= extent[--low_from];
            } else {
                if (low_to == 0) return false;
                right *= y.shape[--low_to];
            }
        }
        if (from == low_from) {  // only axes of extent 1 are left
            for (int32_t axis = 0; axis < to; axis++) v->stride[axis] = x.block_bytes;
            return true;
        }
        for (int32_t axis = low_from; axis + 1 < from; axis++)
            if (stride[axis] != stride[axis + 1] * extent[axis + 1]) return false;
        int64_t step = stride[from - 1];
        for (int32_t axis = to - 1; axis >= low_to; axis--) {
            v->stride[axis] = step;
            step *= y.shape[axis];
        }
        from = low_from;
        to = low_to;
    }
    return true;
}

bool view(const orr_prepare* p, orr_tensor* out) {
    const orr_tensor &x = *p->inputs[0], &y = *p->outputs[0];
    if (x.layout && *x.layout) return false;
    View v;
    if (elements(x) <= 0 || is_contiguous(x)) {
        v.rank = y.rank;
        v.shape = shape_of(y);
        int64_t step = x.block_bytes;
        for (int32_t axis = y.rank - 1; axis >= 0; axis--) {
            v.stride[axis] = step;
            step *= y.shape[axis];
        }
    } else if (!strides_under(x, y, &v) || !fits_tensor(v, x.block_bytes)) {
        return false;
    }
    store_view(v, x.block_bytes, out);
    return true;
}

// y's memory under the shape of x.
Index target_strides(const orr_tensor& x, const orr_tensor& y) {
    Index strides{};
    int64_t step = y.block_bytes;
    for (int32_t axis = x.rank - 1; axis >= 0; axis--) {
        strides[axis] = step;
        step *= x.shape[axis];
    }
    return strides;
}

// y must be contiguous, as outputs are.
orr_status run_reference(const orr_run* run) {
    return guard(run->host, [&] {
        const orr_tensor &x = *run->inputs[0], &y = *run->outputs[0];
        int64_t at = 0;
        for_each_index(x.rank, shape_of(x), [&](const Index& index) {
            std::memcpy(static_cast<char*>(y.data) + at, static_cast<const char*>(x.data) + offset_of(index, x.rank, strides_of(x)), x.block_bytes);
            at += x.block_bytes;
        });
    });
}

orr_status run_cpu(const orr_run* run) {
    return guard(run->host, [&] {
        const orr_tensor &x = *run->inputs[0], &y = *run->outputs[0];
        copy_strided(run, x.rank, shape_of(x), static_cast<char*>(y.data), target_strides(x, y), static_cast<const char*>(x.data), strides_of(x),
                     x.block_bytes);
    });
}

orr_status run_vulkan(const orr_run* run) {
    const orr_tensor &x = *run->inputs[0], &y = *run->outputs[0];
    return record_copy(run, x.rank, shape_of(x), vk::address(&y), target_strides(x, y), vk::address(&x), strides_of(x), x.block_bytes);
}

}  // namespace

const orr_operator* orr_op_reshape() {
    static const Operator op = Operator("orr.reshape/1", "y = the elements of x in row-major order under another shape; torch.reshape")
                                   .input("x", kPlainTypes, "any shape")
                                   .output("y", "the shape asked for", kPlainTypes)
                                   .attr("shape", ORR_ATTR_INTS, nullptr, "extents; 0 copies x's extent at that position, one -1 takes what is left", "[-1, inf)", 0, ORR_MAX_RANK)
                                   .traits(ORR_TRAIT_VIEW)
                                   .view(view)
                                   .infer(infer_guard<infer>)
                                   .kernel({"vulkan", "vulkan", 0, supports_view_vulkan, nullptr, run_vulkan})
                                   .kernel({"cpu", "cpu", 0, nullptr, nullptr, run_cpu})
                                   .kernel({"reference", "cpu", ORR_KERNEL_REFERENCE, nullptr, nullptr, run_reference});
    return op.table();
}
