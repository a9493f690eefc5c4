import com.fasterxml.jackson.annotation.JsonIgnoreProperties;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectReader;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.DoubleAdder;
import java.util.stream.Stream;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.serialization.AbstractDeserializationSchema;
import org.apache.flink.api.common.state.CheckpointListener;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.streaming.api.functions.sink.v2.DiscardingSink;
import org.apache.flink.util.Collector;

/**
 * The simple fold in Flink: keyed state, exactly-once checkpoints into a folder, one cluster inside this process.
 *
 * <p>Environment: BROKER, TOPIC, EVENTS, RUN_ID, FOLDER, PACED (1: unbounded, stays until killed), PARALLELISM, BACKEND
 * (hashmap, rocksdb), CHECKPOINT_MS, JOBS (so many jobs one after the other; the last, warm one is reported).
 */
public final class FlinkFold {
    private static final Map<String, String> GIVEN = System.getenv();
    private static final long EVENTS = Long.parseLong(GIVEN.get("EVENTS"));
    private static final boolean PACED = "1".equals(GIVEN.get("PACED"));

    @JsonIgnoreProperties(ignoreUnknown = true)
    public static class Event {
        public String device_id;
        public long timestamp;
        public double intensity;
        public Place position;
    }

    @JsonIgnoreProperties(ignoreUnknown = true)
    public static class Place {
        public double x;
        public double y;
    }

    public static class Device {
        public long count;
        public double r;
        public double x;
        public double y;
        public long at;
    }

    /** Of the job that runs; all its tasks are in this process. */
    static volatile Watch watch;

    static final class Watch {
        final AtomicLong seen = new AtomicLong();
        final AtomicInteger samples = new AtomicInteger();
        final long[] late = new long[1 << 20];
        final AtomicLong count = new AtomicLong();
        final DoubleAdder sum = new DoubleAdder();
        final AtomicInteger checkpoints = new AtomicInteger();
        final Map<Path, Long> written = new ConcurrentHashMap<>();
        final Path folder;
        volatile long begun;
        volatile long ended;
        volatile double cpuBegun;
        volatile double cpuEnded;

        Watch(Path folder) {
            this.folder = folder;
        }

        void event(long timestamp) {
            long number = seen.incrementAndGet();
            if (number == 1) {
                cpuBegun = cpu();
                begun = System.nanoTime();
                if (PACED) System.out.println("READY");
            }
            if (PACED && number > EVENTS / 2 && number % 16 == 0) {
                late[samples.getAndIncrement()] = System.currentTimeMillis() - timestamp;
            }
            if (number == EVENTS) {
                ended = System.nanoTime();
                cpuEnded = cpu();
                if (PACED) System.out.println(result(EVENTS, Double.NaN, 0));
            }
        }

        /** Flink deletes what a later checkpoint replaces, so every file is counted while it is there. */
        void checkpoint() {
            checkpoints.incrementAndGet();
            try (Stream<Path> files = Files.walk(folder)) {
                files.filter(Files::isRegularFile).forEach(file -> {
                    try {
                        written.put(file, Files.size(file));
                    } catch (IOException gone) {
                        // deleted between listing and looking: it was counted before, or belongs to the next one
                    }
                });
            } catch (IOException | java.io.UncheckedIOException gone) {
                // the folder changes while it is walked; the next checkpoint looks again
            }
        }

        static double cpu() {
            var system = (com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
            return system.getProcessCpuTime() / 1e9;
        }

        String result(long folded, double total, double committed) {
            String line = String.format(Locale.ROOT,
                "\"events\": %d, \"wall_s\": %.6f, \"cpu_s\": %.3f, \"count\": %d, \"sum_r\": %s, \"committed_s\": %s, "
                    + "\"checkpoints\": %d, \"checkpoint_bytes\": %d",
                seen.get(), (ended - begun) / 1e9, cpuEnded - cpuBegun, folded, Double.isNaN(total) ? "null" : total,
                committed > 0 ? committed : "null",
                checkpoints.get(), written.values().stream().mapToLong(Long::longValue).sum());
            long[] sorted = Arrays.copyOf(late, samples.get());
            Arrays.sort(sorted);
            if (sorted.length > 0) {
                line += String.format(", \"folded_ms\": {\"p50\": %d, \"p99\": %d}",
                    sorted[sorted.length / 2], sorted[sorted.length * 99 / 100]);
            }
            return "RESULT {" + line + "}";
        }
    }

    static final class Decode extends AbstractDeserializationSchema<Event> {
        private transient ObjectReader reader;

        Decode() {
            super(Event.class);
        }

        @Override
        public void open(InitializationContext context) {
            reader = new ObjectMapper().readerFor(Event.class);
        }

        @Override
        public Event deserialize(byte[] bytes) throws IOException {
            return reader.readValue(bytes);
        }
    }

    static final class Fold extends KeyedProcessFunction<String, Event, Long> implements CheckpointListener {
        private transient ValueState<Device> devices;
        private transient Watch mine;

        @Override
        public void open(OpenContext context) {
            devices = getRuntimeContext().getState(new ValueStateDescriptor<>("device", Device.class));
            mine = watch;
        }

        @Override
        public void processElement(Event event, Context context, Collector<Long> out) throws Exception {
            Device device = devices.value();
            if (device == null) {
                device = new Device();
                context.timerService().registerEventTimeTimer(Long.MAX_VALUE); // when a bounded input is over
            }
            device.count++;
            device.r = 0.9 * device.r + 0.1 * event.intensity;
            device.x = event.position.x;
            device.y = event.position.y;
            device.at = event.timestamp;
            devices.update(device);
            mine.event(event.timestamp);
        }

        /** The proof that it is all there comes out of the state itself. */
        @Override
        public void onTimer(long at, OnTimerContext context, Collector<Long> out) throws Exception {
            Device device = devices.value();
            mine.count.addAndGet(device.count);
            mine.sum.add(device.r);
        }

        @Override
        public void notifyCheckpointComplete(long id) {
            if (getRuntimeContext().getTaskInfo().getIndexOfThisSubtask() == 0) {
                mine.checkpoint();
            }
        }
    }

    private static Configuration settings(Path folder) throws IOException {
        Files.createDirectories(folder.resolve("tmp"));
        Configuration settings = new Configuration();
        settings.setString("state.backend.type", GIVEN.get("BACKEND"));
        settings.setString("execution.checkpointing.mode", "EXACTLY_ONCE");
        settings.setString("execution.checkpointing.interval", GIVEN.get("CHECKPOINT_MS") + " ms");
        settings.setString("execution.checkpointing.incremental", "true"); // RocksDB only
        settings.setString("execution.checkpointing.storage", "filesystem");
        settings.setString("execution.checkpointing.dir", folder.resolve("checkpoints").toUri().toString());
        settings.setString("io.tmp.dirs", folder.resolve("tmp").toString());
        settings.setString("pipeline.object-reuse", "true");
        return settings;
    }

    private static void job(Path folder, boolean report) throws Exception {
        watch = new Watch(folder.resolve("checkpoints"));
        int parallelism = Integer.parseInt(GIVEN.get("PARALLELISM"));
        var environment = StreamExecutionEnvironment.createLocalEnvironment(parallelism, settings(folder));
        var source = KafkaSource.<Event>builder()
            .setBootstrapServers(GIVEN.get("BROKER"))
            .setTopics(GIVEN.get("TOPIC"))
            .setGroupId(GIVEN.get("RUN_ID"))
            .setStartingOffsets(OffsetsInitializer.earliest())
            .setProperty("commit.offsets.on.checkpoint", "true")
            .setValueOnlyDeserializer(new Decode());
        if (!PACED) {
            source.setBounded(OffsetsInitializer.latest());
        }
        environment.fromSource(source.build(), WatermarkStrategy.noWatermarks(), "kafka")
            .keyBy(event -> event.device_id)
            .process(new Fold())
            .sinkTo(new DiscardingSink<>());
        environment.execute("fold"); // a bounded one returns after its last checkpoint
        double committed = (System.nanoTime() - watch.begun) / 1e9;
        if (report) {
            System.out.println(watch.result(watch.count.get(), watch.sum.sum(), committed));
        }
    }

    public static void main(String[] arguments) throws Exception {
        int jobs = Integer.parseInt(GIVEN.getOrDefault("JOBS", "1"));
        for (int number = 1; number <= jobs; number++) {
            job(Path.of(GIVEN.get("FOLDER"), "job-" + number), number == jobs);
        }
        System.exit(0); // threads of the client would keep it
    }
}
