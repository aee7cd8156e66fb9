# The worker pool, the job, and their accounts.
mock_provider "google" {
  mock_resource "google_service_account" {
    defaults = { email = "mocked@my-project.iam.gserviceaccount.com" }
  }
}

variables {
  name = "orders-to-billing"
  subscription = {
    source = "kafka://my-cluster/orders"
    sink   = "https://billing.example.com/orders"
  }
  bootstrap_servers = "broker-1.example.com:9092"
  image             = "europe-docker.pkg.dev/my-project/images/kafka-sidecar@sha256:0000000000000000000000000000000000000000000000000000000000000000"
  project_id        = "my-project"
  location          = "europe-west3"
  network           = { subnetwork = "main" }
}

run "smallest" {
  command = apply

  assert {
    condition     = { for e in google_cloud_run_v2_worker_pool.this[0].template[0].containers[0].env : e.name => e.value if length(e.value_source) == 0 } == { KAFKA_BOOTSTRAP_SERVERS = "broker-1.example.com:9092", SUBSCRIPTION_ID = "orders-to-billing", SUBSCRIPTION_SOURCE = "kafka://my-cluster/orders", SUBSCRIPTION_SINK = "https://billing.example.com/orders" }
    error_message = "What nobody asked for is rendered."
  }

  assert {
    condition     = google_cloud_run_v2_worker_pool.this[0].scaling[0].manual_instance_count == 1 && google_cloud_run_v2_worker_pool.this[0].deletion_protection && length(google_cloud_run_v2_worker_pool.this[0].template[0].containers) == 1
    error_message = "The worker pool is another one."
  }

  assert {
    condition = { for kind, probe in { live = google_cloud_run_v2_worker_pool.this[0].template[0].containers[0].liveness_probe, startup = google_cloud_run_v2_worker_pool.this[0].template[0].containers[0].startup_probe } :
    kind => "${probe[0].http_get[0].port} ${probe[0].http_get[0].path}" } == { live = "9464 /live", startup = "9464 /startup" }
    error_message = "The probes ask something else: what is down outside would restart instances."
  }

  assert {
    condition     = google_service_account.this[0].account_id == "kafka-orders-to-billing" && google_cloud_run_v2_worker_pool.this[0].template[0].service_account == google_service_account.this[0].email
    error_message = "The instances run as someone else."
  }

  assert {
    condition     = length(google_cloud_run_v2_job.this) == 0 && length(google_secret_manager_secret_iam_member.this) == 0
    error_message = "There is what nobody asked for."
  }
}

run "secrets" {
  command = apply

  variables {
    secrets = { KAFKA_OPTION_SASL_PASSWORD = { secret = "kafka-password", version = "3" }, HANDLER_HEADERS = { secret = "projects/other/secrets/headers", version = "latest" } }
  }

  assert {
    condition     = { for e in google_cloud_run_v2_worker_pool.this[0].template[0].containers[0].env : e.name => "${e.value_source[0].secret_key_ref[0].secret} ${e.value_source[0].secret_key_ref[0].version}" if length(e.value_source) > 0 } == { KAFKA_OPTION_SASL_PASSWORD = "kafka-password 3", HANDLER_HEADERS = "projects/other/secrets/headers latest" }
    error_message = "The instances get other secrets."
  }

  assert {
    condition     = { for id, m in google_secret_manager_secret_iam_member.this : id => "${m.project} ${m.role}" } == { kafka-password = "my-project roles/secretmanager.secretAccessor", "projects/other/secrets/headers" = "other roles/secretmanager.secretAccessor" }
    error_message = "The account may read other secrets."
  }

  assert {
    condition     = alltrue([for m in google_secret_manager_secret_iam_member.this : m.member == "serviceAccount:mocked@my-project.iam.gserviceaccount.com" && m.secret_id != ""])
    error_message = "Someone else may read the secrets."
  }

  assert {
    condition     = length([for e in google_cloud_run_v2_worker_pool.this[0].template[0].containers[0].env : e if length(e.value_source) > 0 && e.value != null]) == 0
    error_message = "A secret has a value in clear."
  }
}

run "account_of_the_caller" {
  command = apply

  variables {
    service_account_email = "billing@my-project.iam.gserviceaccount.com"
    secrets               = { HANDLER_HEADERS = { secret = "headers", version = "1" } }
  }

  assert {
    condition     = length(google_service_account.this) == 0 && length(google_secret_manager_secret_iam_member.this) == 0 && google_cloud_run_v2_worker_pool.this[0].template[0].service_account == "billing@my-project.iam.gserviceaccount.com"
    error_message = "An account of the caller's is changed, or not used."
  }
}

run "handler_in_the_same_instance" {
  command = apply

  variables {
    subscription = { source = "kafka://my-cluster/orders", sink = "http://localhost:8080/orders" }
    secrets      = { KAFKA_OPTION_SASL_PASSWORD = { secret = "kafka-password", version = "3" } }
    handler_container = {
      image        = "europe-docker.pkg.dev/my-project/images/billing:1"
      command      = ["/billing"]
      args         = ["serve"]
      memory       = "1Gi"
      environment  = { PORT = "8080" }
      secrets      = { TOKEN = { secret = "billing-token", version = "1" } }
      health_check = { port = 8080, path = "/health", interval = 2, timeout = 1, retries = 30 }
    }
  }

  assert {
    condition     = google_cloud_run_v2_worker_pool.this[0].template[0].containers[*].name == tolist(["kafka-sidecar", "handler"]) && google_cloud_run_v2_worker_pool.this[0].template[0].containers[0].depends_on == tolist(["handler"]) && google_cloud_run_v2_worker_pool.this[0].template[0].containers[1].depends_on == null
    error_message = "The sidecar does not wait for the handler."
  }

  assert {
    condition = (
      google_cloud_run_v2_worker_pool.this[0].template[0].containers[1].command == tolist(["/billing"])
      && google_cloud_run_v2_worker_pool.this[0].template[0].containers[1].args == tolist(["serve"])
      && google_cloud_run_v2_worker_pool.this[0].template[0].containers[1].resources[0].limits == tomap({ memory = "1Gi" })
      && google_cloud_run_v2_worker_pool.this[0].template[0].containers[1].startup_probe[0].http_get[0].path == "/health"
      && google_cloud_run_v2_worker_pool.this[0].template[0].containers[1].startup_probe[0].http_get[0].port == 8080
      && length(google_cloud_run_v2_worker_pool.this[0].template[0].containers[1].startup_probe[0].tcp_socket) == 0
    )
    error_message = "The handler is another one, or is waited for at another place."
  }

  assert {
    condition     = sort([for e in google_cloud_run_v2_worker_pool.this[0].template[0].containers[1].env : length(e.value_source) == 0 ? "${e.name}=${e.value}" : "${e.name} from ${e.value_source[0].secret_key_ref[0].secret}"]) == tolist(["PORT=8080", "TOKEN from billing-token"])
    error_message = "The handler gets another environment."
  }

  assert {
    condition     = toset(keys(google_secret_manager_secret_iam_member.this)) == toset(["kafka-password", "billing-token"])
    error_message = "The account may read other secrets."
  }
}

run "handler_that_takes_connections" {
  command = plan

  variables {
    subscription      = { source = "kafka://my-cluster/orders", sink = "http://localhost:8080/orders" }
    handler_container = { image = "billing:1", health_check = { port = 8080 } }
  }

  assert {
    condition     = google_cloud_run_v2_worker_pool.this[0].template[0].containers[1].startup_probe[0].tcp_socket[0].port == 8080 && length(google_cloud_run_v2_worker_pool.this[0].template[0].containers[1].startup_probe[0].http_get) == 0
    error_message = "The sidecar does not wait for the handler."
  }
}

run "schedule" {
  command = apply

  override_resource {
    target = google_service_account.schedule
    values = { email = "starter@my-project.iam.gserviceaccount.com" }
  }

  variables {
    schedule = { expression = "0 3 * * *", timezone = "Europe/Berlin", end_at = "latest" }
  }

  assert {
    condition     = length(google_cloud_run_v2_worker_pool.this) == 0
    error_message = "There is a worker pool, too."
  }

  assert {
    condition     = contains([for e in google_cloud_run_v2_job.this[0].template[0].template[0].containers[0].env : "${e.name}=${e.value}"], "END_AT=latest")
    error_message = "The job would run for ever."
  }

  assert {
    condition     = google_cloud_scheduler_job.this[0].http_target[0].uri == "https://run.googleapis.com/v2/projects/my-project/locations/europe-west3/jobs/orders-to-billing:run" && google_cloud_run_v2_job_iam_member.schedule[0].role == "roles/run.invoker"
    error_message = "Something else is started."
  }

  assert {
    condition = (
      google_cloud_scheduler_job.this[0].schedule == "0 3 * * *" && google_cloud_scheduler_job.this[0].time_zone == "Europe/Berlin" && !google_cloud_scheduler_job.this[0].paused
      && google_cloud_scheduler_job.this[0].http_target[0].http_method == "POST"
      && google_cloud_scheduler_job.this[0].http_target[0].oauth_token[0].service_account_email == "starter@my-project.iam.gserviceaccount.com"
    )
    error_message = "It is started at another time, or by someone else."
  }

  assert {
    condition = (
      google_cloud_run_v2_job_iam_member.schedule[0].name == "orders-to-billing" && google_cloud_run_v2_job_iam_member.schedule[0].project == "my-project" && google_cloud_run_v2_job_iam_member.schedule[0].location == "europe-west3"
      && google_cloud_run_v2_job_iam_member.schedule[0].member == "serviceAccount:starter@my-project.iam.gserviceaccount.com"
      && google_service_account.schedule[0].account_id == "start-orders-to-billing"
    )
    error_message = "The scheduler may start other jobs."
  }

  assert {
    condition = (
      google_cloud_run_v2_job.this[0].template[0].task_count == 1 && google_cloud_run_v2_job.this[0].template[0].parallelism == 1
      && google_cloud_run_v2_job.this[0].template[0].template[0].max_retries == 0
    )
    error_message = "A run is more than one task, or is tried again."
  }
}

run "instances_as_given" {
  command = plan

  variables {
    instances           = 3
    memory              = "1Gi"
    cpu                 = "2"
    network             = { network = "vpc", subnetwork = "main", tags = ["kafka-client"] }
    labels              = { team = "billing" }
    deletion_protection = false
  }

  assert {
    condition     = google_cloud_run_v2_worker_pool.this[0].scaling[0].manual_instance_count == 3 && google_cloud_run_v2_worker_pool.this[0].template[0].containers[0].resources[0].limits == tomap({ cpu = "2", memory = "1Gi" })
    error_message = "There are more or fewer instances, or they have another size."
  }

  assert {
    condition = (
      google_cloud_run_v2_worker_pool.this[0].template[0].vpc_access[0].egress == "PRIVATE_RANGES_ONLY"
      && google_cloud_run_v2_worker_pool.this[0].template[0].vpc_access[0].network_interfaces[0].network == "vpc"
      && google_cloud_run_v2_worker_pool.this[0].template[0].vpc_access[0].network_interfaces[0].subnetwork == "main"
      && google_cloud_run_v2_worker_pool.this[0].template[0].vpc_access[0].network_interfaces[0].tags == tolist(["kafka-client"])
    )
    error_message = "The instances are in another network."
  }

  assert {
    condition     = google_cloud_run_v2_worker_pool.this[0].template[0].containers[0].image == var.image && google_cloud_run_v2_worker_pool.this[0].labels == tomap({ team = "billing" }) && google_cloud_run_v2_worker_pool.this[0].template[0].labels == tomap({ team = "billing" }) && !google_cloud_run_v2_worker_pool.this[0].deletion_protection
    error_message = "The worker pool is another one."
  }
}

run "job_as_given" {
  command = apply

  variables {
    schedule            = { expression = "0 3 * * *", end_at = "latest", timeout = "3600s", enabled = false }
    secrets             = { KAFKA_OPTION_SASL_PASSWORD = { secret = "kafka-password", version = "3" } }
    memory              = "1Gi"
    network             = { network = "vpc", subnetwork = "main", tags = ["kafka-client"] }
    labels              = { team = "billing" }
    deletion_protection = false
  }

  assert {
    condition     = [for e in google_cloud_run_v2_job.this[0].template[0].template[0].containers[0].env : "${e.name} ${e.value_source[0].secret_key_ref[0].secret} ${e.value_source[0].secret_key_ref[0].version}" if length(e.value_source) > 0 && e.value == null] == ["KAFKA_OPTION_SASL_PASSWORD kafka-password 3"]
    error_message = "The job gets other secrets, or their values."
  }

  assert {
    condition = (
      google_cloud_run_v2_job.this[0].template[0].template[0].vpc_access[0].egress == "PRIVATE_RANGES_ONLY"
      && google_cloud_run_v2_job.this[0].template[0].template[0].vpc_access[0].network_interfaces[0].network == "vpc"
      && google_cloud_run_v2_job.this[0].template[0].template[0].vpc_access[0].network_interfaces[0].subnetwork == "main"
      && google_cloud_run_v2_job.this[0].template[0].template[0].vpc_access[0].network_interfaces[0].tags == tolist(["kafka-client"])
    )
    error_message = "The job is in another network."
  }

  assert {
    condition = (
      google_cloud_run_v2_job.this[0].template[0].template[0].containers[0].image == var.image
      && google_cloud_run_v2_job.this[0].template[0].template[0].containers[0].resources[0].limits == tomap({ cpu = "1", memory = "1Gi" })
      && google_cloud_run_v2_job.this[0].template[0].template[0].service_account == google_service_account.this[0].email
      && google_cloud_run_v2_job.this[0].template[0].template[0].timeout == "3600s"
      && google_cloud_run_v2_job.this[0].template[0].labels == tomap({ team = "billing" })
      && !google_cloud_run_v2_job.this[0].deletion_protection
    )
    error_message = "The job is another one."
  }

  assert {
    condition     = google_cloud_scheduler_job.this[0].paused
    error_message = "A schedule that is off starts the job."
  }
}

run "long_names" {
  command = apply

  variables {
    name = "a23456789-123456789-123456789-123456789"
  }

  assert {
    condition     = length(google_service_account.this[0].account_id) == 30
    error_message = "The account has an id that Google refuses."
  }
}
