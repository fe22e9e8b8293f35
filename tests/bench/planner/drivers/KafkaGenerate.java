import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.File;
import java.io.OutputStream;
import java.io.PrintStream;
import java.lang.reflect.Constructor;
import java.lang.reflect.Proxy;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.DescribeClusterResult;
import org.apache.kafka.clients.admin.DescribeTopicsResult;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.TopicPartitionInfo;
import org.apache.kafka.tools.reassign.ReassignPartitionsCommand;

/**
 * Runs what `kafka-reassign-partitions --generate` runs once it is connected:
 * `ReassignPartitionsCommand.generateAssignment`, from Kafka's own jar. Only the two answers that it
 * asks a cluster for, the brokers and the topics, come from a file.
 *
 * <p>Usage: KafkaGenerate INPUT OUTPUT (see `drive.py` for their form).
 */
public final class KafkaGenerate {
  private static final ObjectMapper JSON = new ObjectMapper();

  public static void main(String[] args) throws Exception {
    JsonNode input = JSON.readTree(new File(args[0]));
    Map<Integer, Node> nodes = nodes(input.get("brokers"));
    Map<String, TopicDescription> topics = topics(input.get("topics"), nodes);
    Admin admin = admin(nodes.values(), topics);
    List<Map<String, String>> names = topics.keySet().stream().map(n -> Map.of("topic", n)).toList();
    String asked = JSON.writeValueAsString(Map.of("version", 1, "topics", names));
    String targets = text(input.get("targets"));

    PrintStream terminal = System.out; // --generate prints both assignments: let it, to nowhere
    System.setOut(new PrintStream(OutputStream.nullOutputStream()));
    List<Double> seconds = new ArrayList<>();
    Map<TopicPartition, List<Integer>> first = null;
    double total = 0;
    do {
      long begin = System.nanoTime();
      Map<TopicPartition, List<Integer>> proposed =
          ReassignPartitionsCommand.generateAssignment(admin, asked, targets, true).getKey();
      seconds.add((System.nanoTime() - begin) / 1e9);
      total += seconds.get(seconds.size() - 1);
      first = first == null ? proposed : first;
    } while (seconds.size() < input.get("repeat").asInt()
        && total < input.get("repeat_within").asDouble());
    System.setOut(terminal);

    Map<String, Object> output = new LinkedHashMap<>();
    output.put("seconds", seconds);
    output.put("peak_kib", peak());
    output.put("topics", lists(topics, first));
    JSON.writeValue(new File(args[1]), output);
  }

  private static Map<Integer, Node> nodes(JsonNode brokers) {
    Map<Integer, Node> nodes = new LinkedHashMap<>();
    for (JsonNode each : brokers) {
      nodes.put(each.get(0).asInt(), new Node(each.get(0).asInt(), "b", 1, each.get(1).asText()));
    }
    return nodes;
  }

  private static Map<String, TopicDescription> topics(JsonNode topics, Map<Integer, Node> nodes) {
    Map<String, TopicDescription> described = new LinkedHashMap<>();
    topics.fields().forEachRemaining(topic -> {
      List<TopicPartitionInfo> partitions = new ArrayList<>();
      for (JsonNode ids : topic.getValue()) {
        List<Node> replicas = new ArrayList<>();
        ids.forEach(id -> replicas.add(nodes.get(id.asInt())));
        partitions.add(
            new TopicPartitionInfo(partitions.size(), replicas.get(0), replicas, replicas));
      }
      described.put(topic.getKey(), new TopicDescription(topic.getKey(), false, partitions));
    });
    return described;
  }

  /** Answers describeCluster and describeTopics, and nothing else. */
  private static Admin admin(Collection<Node> nodes, Map<String, TopicDescription> topics) {
    return (Admin) Proxy.newProxyInstance(
        KafkaGenerate.class.getClassLoader(),
        new Class<?>[] {Admin.class},
        (proxy, method, args) -> switch (method.getName()) {
          case "describeCluster" -> cluster(nodes);
          case "describeTopics" -> new Described((Collection<?>) args[0], topics);
          default -> throw new UnsupportedOperationException(method.toString());
        });
  }

  private static DescribeClusterResult cluster(Collection<Node> nodes) throws Exception {
    Constructor<?> make = DescribeClusterResult.class.getDeclaredConstructors()[0];
    make.setAccessible(true); // its only constructor is for Kafka's package
    return (DescribeClusterResult) make.newInstance(
        KafkaFuture.completedFuture(nodes), null, null, null);
  }

  private static final class Described extends DescribeTopicsResult {
    Described(Collection<?> names, Map<String, TopicDescription> topics) {
      super(futures(names, topics));
    }

    private static Map<String, KafkaFuture<TopicDescription>> futures(
        Collection<?> names, Map<String, TopicDescription> topics) {
      Map<String, KafkaFuture<TopicDescription>> futures = new LinkedHashMap<>();
      names.forEach(n -> futures.put((String) n, KafkaFuture.completedFuture(topics.get(n))));
      return futures;
    }
  }

  private static Map<String, List<List<Integer>>> lists(
      Map<String, TopicDescription> topics, Map<TopicPartition, List<Integer>> assignment) {
    Map<String, List<List<Integer>>> lists = new LinkedHashMap<>();
    topics.forEach((name, topic) -> {
      List<List<Integer>> partitions = new ArrayList<>();
      for (TopicPartitionInfo each : topic.partitions()) {
        partitions.add(assignment.get(new TopicPartition(name, each.partition())));
      }
      lists.put(name, partitions);
    });
    return lists;
  }

  private static String text(JsonNode ids) {
    List<String> words = new ArrayList<>();
    ids.forEach(id -> words.add(id.asText()));
    return String.join(",", words);
  }

  /** The most memory that this process has had, in KiB: VmHWM starts anew with each program. */
  private static long peak() throws Exception {
    for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
      if (line.startsWith("VmHWM:")) {
        return Long.parseLong(line.replaceAll("\\D", ""));
      }
    }
    throw new IllegalStateException("/proc/self/status has no VmHWM");
  }
}
