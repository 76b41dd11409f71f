// Device half of plugins/core/ops/mul/mul.cpp
#version 460
#define ORR_BINARY 2
#extension GL_GOOGLE_include_directive : require
#include "common/binary.glsl"
