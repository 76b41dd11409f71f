// SPIR-V modules word by word: sections in the order that the format wants, types and constants once each.
// Khronos, SPIR-V Specification, version 1.5, sections 2.3 and 2.4.
#pragma once
#include <cstdint>
#include <initializer_list>
#include <map>
#include <string_view>
#include <vector>

namespace orrery::vulkan {

namespace spv {
// Those that are used, by the specification's names and numbers.
enum Op : uint16_t {
    ExtInstImport = 11, ExtInst = 12, MemoryModel = 14, EntryPoint = 15, ExecutionMode = 16, Capability = 17,
    TypeVoid = 19, TypeBool = 20, TypeInt = 21, TypeFloat = 22, TypeVector = 23, TypeRuntimeArray = 29, TypeStruct = 30, TypePointer = 32, TypeFunction = 33,
    Constant = 43, ConstantComposite = 44, Function = 54, FunctionEnd = 56, Variable = 59, Load = 61, Store = 62, AccessChain = 65,
    Decorate = 71, MemberDecorate = 72, CompositeConstruct = 80, CompositeExtract = 81, ConvertFToS = 110, ConvertSToF = 111, Bitcast = 124, FNegate = 127,
    IAdd = 128, FAdd = 129, ISub = 130, FSub = 131, IMul = 132, FMul = 133, UDiv = 134, FDiv = 136, UMod = 137,
    LogicalOr = 166, LogicalAnd = 167, LogicalNot = 168, Select = 169, IEqual = 170, ULessThan = 176, FOrdEqual = 180, FOrdLessThan = 184, FOrdLessThanEqual = 188,
    ShiftRightLogical = 194, ShiftRightArithmetic = 195, ShiftLeftLogical = 196, BitwiseOr = 197, BitwiseXor = 198, BitwiseAnd = 199,
    SelectionMerge = 247, Label = 248, Branch = 249, BranchConditional = 250, Return = 253
};
enum : uint32_t {
    kShader = 1, kSignedZeroInfNanPreserveCapability = 4466, kPhysicalStorageBufferAddresses = 5347,       // capabilities
    kPhysicalStorageBuffer64 = 5348, kGlsl450 = 1, kGlCompute = 5,                                         // models
    kLocalSize = 17, kSignedZeroInfNanPreserve = 4461,                                                     // execution modes
    kInput = 1, kPushConstant = 9, kPhysicalStorageBuffer = 5349,                                          // storage classes
    kBlock = 2, kArrayStride = 6, kBuiltIn = 11, kOffset = 35, kNoContraction = 42,                        // decorations
    kNumWorkgroups = 24, kWorkgroupId = 26, kLocalInvocationId = 27,                                       // built in
    kAligned = 2,                                                                                          // memory operand
    kRoundEven = 2, kFAbs = 4, kFloor = 8, kSqrt = 31, kFma = 50                                           // GLSL.std.450
};
}  // namespace spv

class SpirvWriter {
  public:
    using Words = std::vector<uint32_t>;
    enum Section { capabilities, imports, models, entries, modes, decorations, globals, code, kSections };

    uint32_t id() { return ++last_; }
    // An instruction without a result.
    void write(Section section, spv::Op op, const Words& operands);
    // One with a result of a type, in the code.
    uint32_t result(spv::Op op, uint32_t type, const Words& operands);
    // A type (no result type) that is written once.
    uint32_t type(spv::Op op, const Words& operands);
    uint32_t constant(uint32_t type, uint32_t bits);
    uint32_t composite(uint32_t type, const Words& parts);
    uint32_t variable(uint32_t pointer, uint32_t storage);
    static Words text(std::string_view text);  // as a literal
    Words finish() const;

  private:
    uint32_t once(spv::Op op, const Words& key, bool typed);
    Words sections_[kSections];
    std::map<Words, uint32_t> known_;
    uint32_t last_ = 0;
};

}  // namespace orrery::vulkan
