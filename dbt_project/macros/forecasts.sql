{# A whole number that identifies a forecast by its series, origin (a midnight) and horizon (1 to 63), the same in every
   build: 31 bits of the series' MD5, 16 bits for the days from 1970 to the origin, 6 bits for the horizon. Below 2^53, so
   that no JSON reader rounds it. Two series of one number are caught by the test `unique`; with 1,000 series that is a
   chance of 1 in 4,300. #}
{% macro forecast_key(series, origin, horizon) -%}
    (
        cast(md5_number_lower({{ series }}) % 2147483648 as bigint) * 4194304
        + date_diff('day', timestamp '1970-01-01', {{ origin }}) * 64
        + {{ horizon }}
    )
{%- endmacro %}
