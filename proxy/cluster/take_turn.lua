-- Takes the turn, or keeps it. KEYS: who has it. ARGV: who asks; for how many milliseconds. Answers 1 if it is theirs.
if not redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then
  if redis.call('GET', KEYS[1]) ~= ARGV[1] then
    return 0
  end
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 1
