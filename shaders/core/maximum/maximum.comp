// Device half of plugins/core/ops/maximum/maximum.cpp
#version 460
#define ORR_BINARY 4
#extension GL_GOOGLE_include_directive : require
#include "common/binary.glsl"
