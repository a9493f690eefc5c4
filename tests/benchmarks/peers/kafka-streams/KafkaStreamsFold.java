import com.fasterxml.jackson.annotation.JsonIgnoreProperties;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectReader;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.Locale;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StoreQueryParameters;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.state.KeyValueIterator;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.QueryableStoreTypes;

/**
 * The simple fold in Kafka Streams: an aggregate by device in RocksDB with its changelog, caches as by default.
 *
 * <p>Environment: BROKER, TOPIC, EVENTS, RUN_ID, FOLDER, PACED (1: stay until killed), THREADS, GUARANTEE, COMMIT_MS. The
 * state is five numbers of eight bytes a device, which is smaller and cheaper than JSON would be.
 */
public final class KafkaStreamsFold {
    private static final String STORE = "devices";
    private static final long EVENTS = Long.parseLong(System.getenv("EVENTS"));
    private static final boolean PACED = "1".equals(System.getenv("PACED"));

    @JsonIgnoreProperties(ignoreUnknown = true)
    public static final class Event {
        public long timestamp;
        public double intensity;
        public Place position;
    }

    @JsonIgnoreProperties(ignoreUnknown = true)
    public static final class Place {
        public double x;
        public double y;
    }

    static final class Device {
        long count;
        double r;
        double x;
        double y;
        long at;

        Device with(Event event) {
            count++;
            r = 0.9 * r + 0.1 * event.intensity;
            x = event.position.x;
            y = event.position.y;
            at = event.timestamp;
            return this;
        }

        byte[] bytes() {
            return ByteBuffer.allocate(40).putLong(count).putDouble(r).putDouble(x).putDouble(y).putLong(at).array();
        }

        static Device of(byte[] stored) {
            ByteBuffer in = ByteBuffer.wrap(stored);
            Device device = new Device();
            device.count = in.getLong();
            device.r = in.getDouble();
            device.x = in.getDouble();
            device.y = in.getDouble();
            device.at = in.getLong();
            return device;
        }
    }

    /** What is measured: the first and the last event, and in a paced run how late the second half is folded. */
    static final class Watch {
        final AtomicLong seen = new AtomicLong();
        final AtomicInteger samples = new AtomicInteger();
        final long[] late = new long[1 << 20];
        final CountDownLatch done = new CountDownLatch(1);
        volatile long begun;
        volatile long ended;
        volatile double cpuBegun;
        volatile double cpuEnded;

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
                done.countDown();
            }
        }

        static double cpu() {
            var system = (com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
            return system.getProcessCpuTime() / 1e9;
        }

        String result(long count, double sum, double committed) {
            String line = String.format(Locale.ROOT,
                "\"events\": %d, \"wall_s\": %.6f, \"cpu_s\": %.3f, \"count\": %d, \"sum_r\": %.9f, \"committed_s\": %s",
                seen.get(), (ended - begun) / 1e9, cpuEnded - cpuBegun, count, sum, committed > 0 ? committed : "null");
            long[] sorted = Arrays.copyOf(late, samples.get());
            Arrays.sort(sorted);
            if (sorted.length > 0) {
                line += String.format(", \"folded_ms\": {\"p50\": %d, \"p99\": %d}",
                    sorted[sorted.length / 2], sorted[sorted.length * 99 / 100]);
            }
            return "RESULT {" + line + "}";
        }
    }

    private static Serde<Event> events() {
        ObjectReader reader = new ObjectMapper().readerFor(Event.class);
        Deserializer<Event> decode = (topic, bytes) -> {
            try {
                return reader.readValue(bytes);
            } catch (IOException error) {
                throw new UncheckedIOException(error);
            }
        };
        return Serdes.serdeFrom((topic, event) -> { throw new UnsupportedOperationException(); }, decode);
    }

    private static Serde<Device> devices() {
        return Serdes.serdeFrom(
            (topic, device) -> device == null ? null : device.bytes(),
            (topic, stored) -> stored == null ? null : Device.of(stored));
    }

    public static void main(String[] arguments) throws InterruptedException {
        Properties settings = new Properties();
        settings.put("application.id", System.getenv("RUN_ID"));
        settings.put("bootstrap.servers", System.getenv("BROKER"));
        settings.put("auto.offset.reset", "earliest");
        settings.put("state.dir", System.getenv("FOLDER"));
        settings.put("num.stream.threads", System.getenv("THREADS"));
        settings.put("processing.guarantee", System.getenv("GUARANTEE"));
        settings.put("commit.interval.ms", System.getenv("COMMIT_MS"));

        Watch watch = new Watch();
        StreamsBuilder builder = new StreamsBuilder();
        builder.stream(System.getenv("TOPIC"), Consumed.with(Serdes.String(), events()))
            .groupByKey()
            .aggregate(
                Device::new,
                (key, event, device) -> {
                    device.with(event);
                    watch.event(event.timestamp);
                    return device;
                },
                Materialized.<String, Device, KeyValueStore<Bytes, byte[]>>as(STORE)
                    .withKeySerde(Serdes.String()).withValueSerde(devices()));
        KafkaStreams streams = new KafkaStreams(builder.build(), settings);
        streams.setUncaughtExceptionHandler(error -> {
            error.printStackTrace();
            Runtime.getRuntime().halt(1);
            return null;
        });
        streams.start();
        watch.done.await();
        long count = 0;
        double sum = 0;
        for (int tries = 0; count != EVENTS && tries < 100; tries++) { // the last event is in the store a moment later
            Thread.sleep(50);
            count = 0;
            sum = 0;
            var query = StoreQueryParameters.fromNameAndType(STORE, QueryableStoreTypes.<String, Device>keyValueStore());
            try (KeyValueIterator<String, Device> rows = streams.store(query).all()) {
                while (rows.hasNext()) {
                    Device device = rows.next().value;
                    count += device.count;
                    sum += device.r;
                }
            }
        }
        if (PACED) {
            System.out.println(watch.result(count, sum, 0));
            Thread.currentThread().join(); // whoever measures ends it, once everything is committed
        }
        streams.close();
        System.out.println(watch.result(count, sum, (System.nanoTime() - watch.begun) / 1e9));
    }
}
