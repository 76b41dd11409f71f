#include "common/params.h"
ORR_PARAMS_BEGIN(ConvParams)
    ORR_POINTER(F32) x;
    ORR_POINTER(uvec2) w;                   // [O, C / groups, kh, kw], contiguous
    ORR_POINTER(uvec2) bias;                // [O]; 0: zeros
    ORR_POINTER(F32) y;
    ORR_UINT pixels;                        // batch * out_h * out_w
    ORR_UINT out_channels;
    ORR_UINT group_in, group_out;           // channels of one group
    ORR_UINT kernel_h, kernel_w;
    ORR_UINT height, width;                 // of x
    ORR_UINT out_h, out_w;
    ORR_UINT stride_h, stride_w;
    ORR_INT pad_h, pad_w;
    ORR_UINT dilation_h, dilation_w;
    ORR_UINT x_batch, x_channel, x_row, x_col;  // elements between neighbours
    ORR_UINT y_batch, y_channel, y_col;         // rows of y lie out_w columns apart
ORR_PARAMS_END
