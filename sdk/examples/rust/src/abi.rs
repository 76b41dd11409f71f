//! What an operator meets of `orrery/base.h` and `orrery/plugin.h`, whose comments are the contract.
//!
//! Every struct is told once: the macro makes the `#[repr(C)]` type and the list of its offsets that `tests/offsets.rs`
//! compares with those of the C compiler. A struct of the ABI grows at its end alone, so a mirror of its first members stays right;
//! of what a plugin writes (`Plugin` … `Operators`) all members are here.

use std::mem::{size_of, MaybeUninit};
use std::os::raw::{c_char, c_void};
use std::ptr::addr_of;

pub type Status = i32;
pub const OK: Status = 0;
pub const INVALID_ARGUMENT: Status = 1;
pub const INTERNAL: Status = 12;

pub const TYPE_F32: u32 = 1;
pub const ATTR_FLOAT: u32 = 2;
pub const KERNEL_REFERENCE: u32 = 1;
pub const MAX_RANK: usize = 8;
pub const EXT_OPERATORS: &[u8] = b"orr.operators/1";

const ABI_MAJOR: u16 = 1;
const ABI_MINOR: u16 = 0;

/// First member of every struct that crosses.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Header {
    pub struct_size: u32,
    pub abi_major: u16,
    pub abi_minor: u16,
}

/// ORR_HEADER
pub const fn header<T>() -> Header {
    Header { struct_size: size_of::<T>() as u32, abi_major: ABI_MAJOR, abi_minor: ABI_MINOR }
}

/// Name, size and members of a struct as this compiler lays it out.
pub struct Layout {
    pub name: &'static str,
    pub size: usize,
    pub members: Vec<(&'static str, usize)>,
}

macro_rules! c_structs {
    ($($c_name:literal => $name:ident { $($member:ident: $type:ty,)* })*) => {
        $(
            #[repr(C)]
            pub struct $name {
                $(pub $member: $type,)*
            }
            // Descriptors are immutable and read from any thread.
            unsafe impl Sync for $name {}
        )*
        pub fn layouts() -> Vec<Layout> {
            vec![$({
                let memory = MaybeUninit::<$name>::uninit();
                let base = memory.as_ptr();
                Layout {
                    name: $c_name,
                    size: size_of::<$name>(),
                    members: vec![$((
                        stringify!($member),
                        // SAFETY: addr_of! takes an address inside `memory` and reads nothing.
                        unsafe { addr_of!((*base).$member) as usize - base as usize },
                    ),)*],
                }
            },)*]
        }
    };
}

pub type ChunkFn = unsafe extern "C" fn(arg: *mut c_void, chunk: i64, thread: u32);
pub type RunFn = unsafe extern "C" fn(run: *const Run) -> Status;
pub type SupportsFn = unsafe extern "C" fn(p: *const Prepare, reason: *mut c_char, reason_size: usize) -> bool;

c_structs! {
    "orr_host" => Host {
        header: Header,
        get_extension: unsafe extern "C" fn(*const Host, *const c_char) -> *const c_void,
        allocate: unsafe extern "C" fn(*const Host, usize, usize) -> *mut c_void,
        release: unsafe extern "C" fn(*const Host, *mut c_void, usize, usize),
        log: unsafe extern "C" fn(*const Host, i32, *const c_char),
        fail: unsafe extern "C" fn(*const Host, Status, *const c_char) -> Status,
    }
    "orr_plugin" => Plugin {
        header: Header,
        id: *const c_char,
        version: *const c_char,
        licence: *const c_char,
        sanitizer: *const c_char,
        get_extension: unsafe extern "C" fn(*const c_char) -> *const c_void,
    }
    "orr_tensor" => Tensor {
        header: Header,
        r#type: u32,
        rank: i32,
        type_id: *const c_char,
        layout: *const c_char,
        shape: [i64; MAX_RANK],
        stride_bytes: [i64; MAX_RANK],
        block_elems: u32,
        block_bytes: u32,
        data: *mut c_void,
        size_bytes: u64,
        buffer: *mut c_void,
        offset: u64,
        flags: u32,
    }
    "orr_value_info" => ValueInfo {
        header: Header,
        r#type: u32,
        rank: i32,
        dims: [i64; MAX_RANK],
        type_id: *const c_char,
        layout: *const c_char,
    }
    "orr_attrs" => Attrs {
        header: Header,
        get_int: unsafe extern "C" fn(*const Attrs, *const c_char) -> i64,
        get_float: unsafe extern "C" fn(*const Attrs, *const c_char) -> f64,
        get_string: unsafe extern "C" fn(*const Attrs, *const c_char) -> *const c_char,
        get_ints: unsafe extern "C" fn(*const Attrs, *const c_char, *mut *const i64) -> usize,
        get_floats: unsafe extern "C" fn(*const Attrs, *const c_char, *mut *const f64) -> usize,
    }
    "orr_attr_desc" => AttrDesc {
        header: Header,
        name: *const c_char,
        kind: u32,
        default_json: *const c_char,
        doc: *const c_char,
        range: *const c_char,
        least: u32,
        most: u32,
    }
    "orr_port" => Port {
        header: Header,
        name: *const c_char,
        flags: u32,
        types: *const c_char,
        doc: *const c_char,
        layouts: *const c_char,
        token_axis: i32,
    }
    "orr_infer" => Infer {
        header: Header,
        host: *const Host,
        dims: *const c_void,
        attrs: *const Attrs,
        n_inputs: u32,
        n_outputs: u32,
        inputs: *const *const ValueInfo,
        outputs: *const *mut ValueInfo,
    }
    "orr_prepare" => Prepare {
        header: Header,
        host: *const Host,
        attrs: *const Attrs,
        n_inputs: u32,
        n_outputs: u32,
        inputs: *const *const Tensor,
        outputs: *const *const Tensor,
    }
    "orr_run" => Run {
        header: Header,
        host: *const Host,
        attrs: *const Attrs,
        data: *mut c_void,
        workspace: *mut c_void,
        n_inputs: u32,
        n_outputs: u32,
        inputs: *const *const Tensor,
        outputs: *const *const Tensor,
        threads: u32,
        parallel_for: unsafe extern "C" fn(*const Run, i64, ChunkFn, *mut c_void),
    }
    "orr_kernel" => Kernel {
        header: Header,
        name: *const c_char,
        device: *const c_char,
        flags: u32,
        supports: Option<SupportsFn>,
        prepare: Option<unsafe extern "C" fn(*mut Prepare) -> Status>,
        run: RunFn,
        self_test: Option<unsafe extern "C" fn(*const Prepare, u32, *mut c_void) -> bool>,
    }
    "orr_operator" => Operator {
        header: Header,
        id: *const c_char,
        summary: *const c_char,
        traits: u32,
        n_inputs: u32,
        n_outputs: u32,
        n_attrs: u32,
        n_kernels: u32,
        inputs: *const *const Port,
        outputs: *const *const Port,
        attrs: *const *const AttrDesc,
        kernels: *const *const Kernel,
        infer: unsafe extern "C" fn(*const Infer) -> Status,
        decompose: *const c_void,
        flops: Option<unsafe extern "C" fn(*const Prepare) -> u64>,
        elementwise: *const c_void,
        view: *const c_void,
    }
    "orr_operators" => Operators {
        header: Header,
        count: u32,
        items: *const *const Operator,
    }
}
