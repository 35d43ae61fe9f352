"""Show HDR pictures on a standard screen: FFmpeg's filters `lutrgb` and `colorchannelmixer`, and their arguments. Pure.

Light is in units of SDR white, which HDR shows at 203 cd/m2 (ITU-R BT.2408). Values up to 0.8 stay unchanged; higher values are
compressed below 1. FFmpeg 8's own way (`scale` with `out_transfer`) looks the same but takes ten seconds per picture.
"""

PQ, HLG = 16, 18
"""Values of AVColorTransferCharacteristic: SMPTE ST 2084 (HDR10, Dolby Vision) and ARIB STD-B67."""

_WHITE = 203
_SIGNAL = "(val/maxval)"
_POWER = f"pow({_SIGNAL},1/(2523/32))"
_LIGHT = {
    # ITU-R BT.2100 table 4: the cd/m2 of a signal. Table 5: the same for a screen of 1,000 cd/m2 (its gamma is 1.2).
    PQ: f"10000/{_WHITE}*pow(max({_POWER}-107/128,0)/(2413/128-2392/128*{_POWER}),16384/2610)",
    HLG: f"1000/{_WHITE}*pow(if(lte({_SIGNAL},0.5),{_SIGNAL}*{_SIGNAL}/3,(exp(({_SIGNAL}-0.55991073)/0.17883277)+0.28466892)/12),1.2)",
}
_BENT = "maxval*if(lte(st(0,{light}),0.8),ld(0),0.8+0.2*(ld(0)-0.8)/(ld(0)-0.6))"
_BT709 = "rr=1.6605:rg=-0.5876:rb=-0.0728:gr=-0.1246:gg=1.1329:gb=-0.0083:br=-0.0182:bg=-0.1006:bb=1.1187"
"""Converts BT.2020's red, green and blue to BT.709's (ITU-R BT.2087)."""


def filters(transfer: int) -> list[tuple[str, str]]:
    """Return name and arguments of each filter for frames of this transfer; empty when it is not HDR."""
    if transfer not in _LIGHT:
        return []
    return [
        ("format", "pix_fmts=gbrp16le"),
        ("lutrgb", _each(_BENT.format(light=_LIGHT[transfer]))),
        ("colorchannelmixer", _BT709),
        ("lutrgb", _each("maxval*pow(val/maxval,1/2.2)")),
    ]


def _each(expression: str) -> str:
    return ":".join(f"{channel}='{expression}'" for channel in "rgb")
