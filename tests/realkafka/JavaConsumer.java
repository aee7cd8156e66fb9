import java.time.Duration;
import java.util.Collection;
import java.util.List;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerGroupMetadata;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;

/** A plain consumer that says on its standard output, a line each, what befalls it. Arguments: topic, then name=value of its configuration. */
public class JavaConsumer {
    private static synchronized void say(String line) {
        System.out.println(line);
        System.out.flush();
    }

    public static void main(String[] args) {
        Properties config = new Properties();
        for (int i = 1; i < args.length; i++) {
            int at = args[i].indexOf('=');
            config.setProperty(args[i].substring(0, at), args[i].substring(at + 1));
        }
        config.setProperty("auto.offset.reset", "earliest");
        try (var consumer = new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer())) {
            consumer.subscribe(List.of(args[0]), new ConsumerRebalanceListener() {
                @Override
                public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
                    say("assigned " + partitions.size());
                }

                @Override
                public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
                    say("revoked " + partitions.size());
                }

                @Override
                public void onPartitionsLost(Collection<TopicPartition> partitions) {
                    say("lost " + partitions.size());
                }
            });
            int generation = -1;
            while (true) {
                for (var record : consumer.poll(Duration.ofMillis(100))) {
                    say("record " + record.partition() + "@" + record.offset());
                }
                ConsumerGroupMetadata now = consumer.groupMetadata();
                if (now.generationId() != generation) {
                    generation = now.generationId();
                    say("generation " + generation);
                }
            }
        } catch (Throwable failure) {
            say("failed " + failure.getClass().getSimpleName() + ": " + failure.getMessage());
            System.exit(1);
        }
    }
}
