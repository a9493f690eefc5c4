-- One snapshot, whole or not at all; never one that is behind what is there.
-- KEYS: field:position, field:at, field:current, entanglements, consciousness:stream
-- ARGV: last offset by partition as a JSON object, time that the field was read at (ms), snapshot, its life in s,
--       stream length, stream entry or '', channels and messages as a JSON array of pairs, then the entanglements
--       as field, value, field, value ...
-- Returns 1, or 0 when the stored positions are ahead in any partition (or are the same and were read later).
local old, new = cjson.decode(redis.call('GET', KEYS[1]) or '{}'), cjson.decode(ARGV[1])
local ahead = false
for partition, offset in pairs(old) do
    if (new[partition] or -1) < offset then return 0 end
end
for partition, offset in pairs(new) do
    if offset > (old[partition] or -1) then ahead = true end
end
if not ahead and tonumber(ARGV[2]) < tonumber(redis.call('GET', KEYS[2]) or '0') then return 0 end

redis.call('SET', KEYS[1], ARGV[1])
redis.call('SET', KEYS[2], ARGV[2])
redis.call('SETEX', KEYS[3], ARGV[4], ARGV[3])
redis.call('DEL', KEYS[4])
for first = 8, #ARGV, 1000 do
    redis.call('HSET', KEYS[4], unpack(ARGV, first, math.min(first + 999, #ARGV)))
end
if ARGV[6] ~= '' and ahead then
    redis.call('XADD', KEYS[5], 'MAXLEN', '~', ARGV[5], '*', 'field', ARGV[6])
end
for _, message in ipairs(cjson.decode(ARGV[7])) do
    redis.call('PUBLISH', message[1], message[2])
end
return 1
