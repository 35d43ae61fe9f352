"""HDR pictures as they are to look on a usual screen: FFmpeg's filters `lutrgb` and `colorchannelmixer`, and what to tell them. Pure.

Light in units of SDR's white, which HDR shows at 203 cd/m2 (ITU-R BT.2408); up to 0.8 it stays as it is, above that it is bent below 1.
FFmpeg 8's own way (`scale` with `out_transfer`) looks the same and takes ten seconds for a picture.
"""

PQ, HLG = 16, 18
"""Of AVColorTransferCharacteristic: SMPTE ST 2084 (HDR10, Dolby Vision) and ARIB STD-B67."""

_WHITE = 203
_SIGNAL = "(val/maxval)"
_POWER = f"pow({_SIGNAL},1/(2523/32))"
_LIGHT = {
    # ITU-R BT.2100 table 4: cd/m2 of a signal; table 5: the same for a screen of 1,000 cd/m2 (its gamma is 1.2).
    PQ: f"10000/{_WHITE}*pow(max({_POWER}-107/128,0)/(2413/128-2392/128*{_POWER}),16384/2610)",
    HLG: f"1000/{_WHITE}*pow(if(lte({_SIGNAL},0.5),{_SIGNAL}*{_SIGNAL}/3,(exp(({_SIGNAL}-0.55991073)/0.17883277)+0.28466892)/12),1.2)",
}
_BENT = "maxval*if(lte(st(0,{light}),0.8),ld(0),0.8+0.2*(ld(0)-0.8)/(ld(0)-0.6))"
_BT709 = "rr=1.6605:rg=-0.5876:rb=-0.0728:gr=-0.1246:gg=1.1329:gb=-0.0083:br=-0.0182:bg=-0.1006:bb=1.1187"
"""BT.2020's red, green and blue made of BT.709's (ITU-R BT.2087)."""


def filters(transfer: int) -> list[tuple[str, str]]:
    """Name and arguments of each filter for frames of this transfer; none where it is not HDR."""
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
